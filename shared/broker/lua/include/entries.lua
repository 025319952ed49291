-- Stream entries: their ids, their queues, and which worker holds them.
--
-- A queue is the stream `{ns}:queue:NAME`, read by the consumer group `workers`. Jobs that leave a lane go into
-- `{ns}:queue:~NAME`, which workers read before the new entries of the queue.
-- An entry id names an entry across queues: `1795232878059-0` in the queue `default`, else
-- `QUEUE:1795232878059-0`.
--
-- Provides  GROUP, RETURNED, entry_id_of, base_queue, owner_of, owners_of, remove_entries, add_to_group

local GROUP = 'workers'
-- The pseudo-consumer that owns entries which were handed back or recovered, until a worker pulls them.
local RETURNED = 'returned'

local function entry_id_of(queue, entry)
  if queue == 'default' then return entry end
  return queue .. ':' .. entry
end

-- `NAME` of both `NAME` and `~NAME`.
local function base_queue(queue)
  return string.match(queue, '^~(.*)$') or queue
end

-- The consumer that the entry is pending for, or nil. No worker owns an entry of a queue that none has read.
local function owner_of(stream, entry)
  local pending = redis.pcall('XPENDING', stream, GROUP, entry, entry, 1)
  if pending.err and not string.match(pending.err, '^NOGROUP') then error(pending.err) end
  return pending[1] and pending[1][2]
end

-- The consumer of each job's entry, or nil. Jobs of one batch are mostly neighbours in one stream: one XPENDING
-- covers the range from the first to the last, and only the others cost a command each.
local function owners_of(jobs)
  local first, last = jobs[1], jobs[#jobs]
  local known = {}
  local pending = redis.call('XPENDING', first.stream, GROUP, first.entry, last.entry, 2 * #jobs, first.worker)
  for _, p in ipairs(pending) do known[p[1]] = p[2] end
  local owners = {}
  for i, job in ipairs(jobs) do
    owners[i] = job.stream == first.stream and known[job.entry] or owner_of(job.stream, job.entry)
  end
  return owners
end

-- Acknowledges and deletes entries of one stream.
local function remove_entries(stream, entries)
  redis.call('XACK', stream, GROUP, unpack(entries))
  redis.call('XDEL', stream, unpack(entries))
end

-- Appends `item` to the list `groups[name]`.
local function add_to_group(groups, name, item)
  local group = groups[name] or {}
  groups[name], group[#group + 1] = group, item
end

-- Words that the scripts share; this text stands before each of them.
--
-- All keys of a namespace carry one hash tag. A script is given the stream that it works on as
-- KEYS[1] and the namespace's prefix (`{longshore}`) as ARGV[1]; the rest is in the same slot.

local P = ARGV[1]
local GROUP = 'workers'
-- The consumer that holds what was given back and waits for the next worker.
local RETURNED = 'returned'

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Adds to one of many lists.
local function add_to(lists, name, item)
  local list = lists[name] or {}
  lists[name], list[#list + 1] = list, item
end

local function place_of(queue, entry)
  if queue == 'default' then return entry end
  return queue .. ':' .. entry
end

-- Wakes the scheduler: something is due before it meant to look.
local function wake() redis.call('PUBLISH', P .. ':wake', '') end

-- Whether this is the token of the leader that took the lease last: one that was overtaken has an older.
local function leads(token) return redis.call('GET', P .. ':leader:token') == token end

-- Who has the entry, or nil.
local function owner_of(stream, entry)
  local pending = redis.call('XPENDING', stream, GROUP, entry, entry, 1)
  return pending[1] and pending[1][2]
end

-- Who has each job's entry, or nil. Jobs that travel together mostly stand together: one question tells
-- of all between the first and the last, and the rest are asked one by one.
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

-- What the journal, `{ns}:inflight`, holds of a place: the attempt's id (`-` between attempts), the worker, the
-- concurrency key, what the attempt has taken of limits, and the event that is written should the worker die
-- (between attempts the id of the one that failed). Workers send it as it is kept (`JournalEntry`): joining it
-- here, for every attempt, costs more than it looks, because the server hashes each text that a script makes.
local function unpack_inflight(value)
  local attempt, worker, key_length, takes_length, rest =
    string.match(value, '^(%S+) (%S+) (%d+) (%d+) (.*)$')
  key_length, takes_length = tonumber(key_length), tonumber(takes_length)
  local takes_end = key_length + takes_length
  return attempt, worker, string.sub(rest, 1, key_length),
    string.sub(rest, key_length + 1, takes_end), string.sub(rest, takes_end + 1)
end

-- The fence: the attempt is the one that was begun, or, before an attempt, the entry is the worker's.
local function is_mine(stream, entry, place, attempt, worker)
  if attempt == '' then return owner_of(stream, entry) == worker end
  local value = redis.call('HGET', P .. ':inflight', place)
  return value and string.sub(value, 1, #attempt) == attempt
end

local function emit(event)
  if event ~= '' then redis.call('XADD', P .. ':events', '*', 'e', event) end
end

-- Several at once, which cost little more than one: an entry has a field for each.
local function emit_all(events)
  local fields = {}
  for _, event in ipairs(events) do
    if event ~= '' then
      fields[#fields + 1] = 'e'
      fields[#fields + 1] = event
    end
  end
  if #fields > 0 then redis.call('XADD', P .. ':events', '*', unpack(fields)) end
end

-- An attempt that settled nothing was paid for all the same.
local function emit_duplicate(event)
  if event ~= '' then redis.call('XADD', P .. ':events', '*', 'e', event, 'd', '1') end
end

-- The entry's fields without our own marks.
local function fields_of(stream, entry)
  local found = redis.call('XRANGE', stream, entry, entry)
  if not found[1] then return nil end
  local all, own = found[1][2], {}
  for i = 1, #all, 2 do
    if all[i] ~= '_resume' then
      own[#own + 1] = all[i]
      own[#own + 1] = all[i + 1]
    end
  end
  return own
end

local function remove(stream, entries)
  redis.call('XACK', stream, GROUP, unpack(entries))
  redis.call('XDEL', stream, unpack(entries))
end

-- The queue of a stream: jobs that come out of a lane go into a stream of their own (`~NAME`), which is
-- read before the new ones.
local function queue_of(stream_name)
  return string.match(stream_name, '^~(.*)$') or stream_name
end

-- Lays the entry aside under the job's id; the lane (`time`, `version`, `key:K`, `quota:M`, `tenant:T`)
-- then holds the id.
local function lay_aside(stream, queue, entry, id, lane, resume)
  local fields = fields_of(stream, entry)
  if not fields then return false end
  redis.call('HSET', P .. ':lane:jobs', id, cmsgpack.pack({queue_of(queue), lane, resume, unpack(fields)}))
  -- As long as the job waits, its id is known.
  redis.call('PERSIST', P .. ':id:' .. id)
  return true
end

-- Puts a job of which something is remembered into its queue; gives its new place.
local function append(queue, fields)
  return place_of(queue, redis.call('XADD', P .. ':queue:' .. queue, '*', '_resume', '1', unpack(fields)))
end

-- Puts a job into its queue with what is to be remembered of it; gives its new place.
local function enqueue(queue, resume, fields)
  local place = append(queue, fields)
  redis.call('HSET', P .. ':resume', place, resume)
  return place
end

-- Takes a job out of a lane (nil = of any) and into the stream that is read first; nil when it is no
-- longer there. A lane may still name one that was cancelled and came back since.
local function let_go(id, lane)
  local packed = redis.call('HGET', P .. ':lane:jobs', id)
  if not packed then return nil end
  local record = cmsgpack.unpack(packed)
  local queue, stands_in, resume = record[1], record[2], record[3]
  if lane and stands_in ~= lane then return nil end
  redis.call('HDEL', P .. ':lane:jobs', id)
  return enqueue('~' .. queue, resume, {unpack(record, 4)})
end

-- Asks for a job that has not ended to be cancelled. One that waits in a lane goes to its queue, where the
-- next worker ends it without running it; one that runs is dropped by its worker, who hears of it at once.
-- `aside` is what it is laid aside under (nil = its id).
local function ask_to_cancel(id, aside)
  aside = aside or id
  if redis.call('EXISTS', P .. ':result:' .. id) == 1 then return false end
  redis.call('ZADD', P .. ':cancelled', now_ms(), id)
  local packed = redis.call('HGET', P .. ':lane:jobs', aside)
  if packed then
    local lane = cmsgpack.unpack(packed)[2]
    if lane == 'time' or lane == 'version' or string.match(lane, '^paused:') then
      redis.call('ZREM', P .. ':lane:' .. lane, aside)
    end
    let_go(aside)
  end
  redis.call('PUBLISH', P .. ':control', 'cancel ' .. id)
  return true
end

-- Gives a concurrency key's slots at some places back, and hands them to the first that wait for them.
local function release(ckey, places)
  if ckey == '' then return end
  local holders, lane = P .. ':key:' .. ckey, 'key:' .. ckey
  local free = redis.call('HDEL', holders, unpack(places))
  while free > 0 do
    local id = redis.call('LPOP', P .. ':lane:' .. lane)
    if not id then return end
    local next_place = let_go(id, lane)
    if next_place then
      redis.call('HSET', holders, next_place, '-')
      free = free - 1
    end
  end
end

-- What is remembered of a place goes with it.
local function forget(place)
  redis.call('HDEL', P .. ':inflight', place)
  redis.call('HDEL', P .. ':resume', place)
  redis.call('HDEL', P .. ':crashes', place)
end

-- Pushes an outcome to all who wait for it.
local function push_reply(id, result, ttl)
  local reply, waiters = P .. ':reply:' .. id, P .. ':waiters'
  for _ = 0, tonumber(redis.call('HGET', waiters, id) or '0') do
    redis.call('RPUSH', reply, result)
  end
  redis.call('EXPIRE', reply, ttl)
  redis.call('HDEL', waiters, id)
end

local function bury(id, letter)
  redis.call('HSET', P .. ':dead:jobs', id, letter)
  redis.call('ZADD', P .. ':dead', now_ms(), id)
end

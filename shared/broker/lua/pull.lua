-- Pulls entries of some queues. Of each queue, those that were handed back or recovered go first; then, of its stream
-- `~NAME`, jobs that were released from lanes, and parked jobs of tenants, which take turns by weight (start-time fair
-- queueing); then, if that is asked for, new ones.
--
-- First each queue gives up to its quota. What some do not have, those that have more give, in the order of the queues.
--
-- A message can be so large that a worker dies of it before it begins the job. So entries are read a few at a time
-- until they have many bytes, and an entry with which several workers died is pulled alone.
--
-- KEYS     the streams `~NAME` and `NAME` of each queue
-- ARGV     1 namespace, 2 worker, 3 the most entries, 4 bytes after which it stops, then of each queue: name, quota, whether
--          new entries are pulled (1)
-- Returns  a list of {number of the stream from 0, entry, fields, crashes so far, workers that died before they began
--          it, checkpoint ('' = none)}
-- Writes   the pending lists of the streams; of tenants: parked jobs, lanes, `{ns}:tenants:QUEUE` (+ `:turn`,
--          `:weights`), the stream `~NAME`, checkpoints
-- Repeat   safe, but does not return the same entries again: those are pending for the worker
-- Bound    a few commands an entry (at most 512), for each tenant whose lane is empty, and for each entry id whose job
--          has left its lane
local worker, most, most_bytes = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local FIRST, ARITY = 5, 3
-- Entries of one command: their size is known only when they are read.
local CHUNK = 16
-- An entry with which so many workers died before they began it is pulled alone.
local SUSPECT = 2
local pulled, bytes, is_full = {}, 0, false

local function add(number, queue, found)
  local entry_id = entry_id_of(queue, found[1])
  for _, text in ipairs(found[2]) do bytes = bytes + #text end
  pulled[#pulled + 1] = {
    number,
    found[1],
    found[2],
    tonumber(redis.call('HGET', NS .. ':crashes', entry_id) or '0'),
    tonumber(redis.call('HGET', NS .. ':unbegun', entry_id) or '0'),
    redis.call('HGET', NS .. ':checkpoints', entry_id) or '',
  }
end

local function claim(number, queue, stream, ids)
  if #ids == 0 then return end
  for _, found in ipairs(redis.call('XCLAIM', stream, GROUP, worker, 0, unpack(ids))) do
    add(number, queue, found)
  end
  is_full = bytes >= most_bytes
end

-- The first entries of a stream that were handed back or recovered, and with how many workers each died before it began.
local function returned(queue, stream, count)
  local ids, entry_ids = {}, {}
  for k, p in ipairs(redis.call('XPENDING', stream, GROUP, '-', '+', count, RETURNED)) do
    ids[k], entry_ids[k] = p[1], entry_id_of(queue, p[1])
  end
  return ids, #ids > 0 and redis.call('HMGET', NS .. ':unbegun', unpack(entry_ids)) or {}
end

-- If the first entry that was handed back or recovered is one with which several workers died, pulls it alone. Returns
-- whether the stream has such entries.
local function pull_suspect(number, queue, stream)
  local ids, unbegun = returned(queue, stream, 1)
  if #ids > 0 and tonumber(unbegun[1] or '0') >= SUSPECT then
    claim(number, queue, stream, ids)
    is_full = true
  end
  return #ids > 0
end

local function pull_returned(number, queue, stream, target)
  if is_full or #pulled >= target then return end
  local ids, unbegun = returned(queue, stream, target - #pulled)
  local some = {}
  for k, id in ipairs(ids) do
    if is_full then return end
    if tonumber(unbegun[k] or '0') < SUSPECT then some[#some + 1] = id end
    if #some == CHUNK then
      claim(number, queue, stream, some)
      some = {}
    end
  end
  if not is_full then claim(number, queue, stream, some) end
end

-- Releases up to `count` jobs that are parked by tenant; returns how many.
local function release_by_turn(queue, count)
  local order = NS .. ':tenants:' .. queue
  local released = 0
  while released < count do
    local first = redis.call('ZRANGE', order, 0, 0, 'WITHSCORES')
    local tenant = first[1]
    if not tenant then break end
    local lane = 'tenant:' .. queue .. ':' .. tenant
    local parked = redis.call('LPOP', NS .. ':lane:' .. lane)
    if not parked then
      redis.call('ZREM', order, tenant)
      redis.call('HDEL', order .. ':weights', tenant)
      -- With no tenant left, turns start at 0 again.
      if redis.call('EXISTS', order) == 0 then redis.call('DEL', order .. ':turn') end
    elseif release(parked) then
      local weight = tonumber(redis.call('HGET', order .. ':weights', tenant) or '1')
      redis.call('SET', order .. ':turn', first[2])
      redis.call('ZINCRBY', order, 1 / weight, tenant)
      released = released + 1
    end
  end
  return released
end

-- Reads entries that were not delivered yet, until `target` entries are pulled.
local function read_new(number, queue, stream, target)
  while #pulled < target and not is_full do
    local chunk = math.min(target - #pulled, CHUNK)
    local read = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', chunk, 'STREAMS', stream, '>')
    local entries = read and read[1][2] or {}
    for _, found in ipairs(entries) do add(number, queue, found) end
    is_full = bytes >= most_bytes
    if #entries < chunk then return end
  end
end

-- Pulls from a queue until `target` entries are pulled. Returns whether it may have more.
local function pull_queue(of, target)
  local number, queue = of.number, of.name
  local ready, ready_stream, stream = '~' .. queue, KEYS[number + 1], KEYS[number + 2]
  pull_returned(number, ready, ready_stream, target)
  pull_returned(number + 1, queue, stream, target)
  read_new(number, ready, ready_stream, target)
  if #pulled < target and not is_full and release_by_turn(queue, target - #pulled) > 0 then
    read_new(number, ready, ready_stream, target)
  end
  if of.wants_new then read_new(number + 1, queue, stream, target) end
  return #pulled >= target
end

-- `number` is that of its first stream.
local queues = {}
for at = FIRST, #ARGV, ARITY do
  queues[#queues + 1] = {
    number = 2 * #queues, name = ARGV[at], quota = tonumber(ARGV[at + 1]), wants_new = ARGV[at + 2] == '1',
  }
end
if redis.call('HLEN', NS .. ':unbegun') > 0 then
  for _, queue in ipairs(queues) do
    local number = queue.number
    if pull_suspect(number, '~' .. queue.name, KEYS[number + 1]) then break end
    if pull_suspect(number + 1, queue.name, KEYS[number + 2]) then break end
  end
end
local has_more = {}
for i, queue in ipairs(queues) do
  has_more[i] = queue.quota == 0 or pull_queue(queue, math.min(most, #pulled + queue.quota))
end
for i, queue in ipairs(queues) do
  if has_more[i] then pull_queue(queue, most) end
end
return pulled

-- Pulls the entries that go before new ones: those that were handed back or recovered; then, of the streams `~NAME`,
-- jobs that were released from lanes, and parked jobs of tenants, which take turns by weight (start-time fair queueing).
--
-- A message can be so large that a worker dies of it before it begins the job. So entries are read a few at a time
-- until they have many bytes, and an entry with which several workers died is pulled alone.
--
-- KEYS     the streams, in the order in which they are read
-- ARGV     1 namespace, 2 worker, 3 the most entries, 4 bytes after which it stops, then the queue name of each stream
--          (`NAME`, `~NAME`)
-- Returns  a list of {number of the stream from 0, entry, fields, crashes so far, workers that died before they began
--          it, checkpoint ('' = none)}
-- Writes   the pending lists of the streams; of tenants: parked jobs, lanes, `{ns}:tenants:QUEUE` (+ `:turn`,
--          `:weights`), the stream `~NAME`, checkpoints
-- Repeat   safe, but does not return the same entries again: those are pending for the worker
-- Bound    a few commands an entry (at most 512), for each tenant whose lane is empty, and for each entry id whose job
--          has left its lane
local worker, most, most_bytes = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local QUEUES_AT = 4
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

local function pull_returned(number, queue, stream)
  local ids, entry_ids = {}, {}
  for k, p in ipairs(redis.call('XPENDING', stream, GROUP, '-', '+', most - #pulled, RETURNED)) do
    ids[k], entry_ids[k] = p[1], entry_id_of(queue, p[1])
  end
  if #ids == 0 then return end
  local unbegun, some = redis.call('HMGET', NS .. ':unbegun', unpack(entry_ids)), {}
  for k, id in ipairs(ids) do
    if is_full then return end
    if tonumber(unbegun[k] or '0') < SUSPECT then
      some[#some + 1] = id
    elseif #pulled + #some == 0 then
      claim(number, queue, stream, {id})
      is_full = true
    end
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

-- Reads up to `count` entries that were not delivered yet.
local function read_new(number, queue, stream, count)
  while count > 0 and not is_full do
    local chunk = math.min(count, CHUNK)
    local read = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', chunk, 'STREAMS', stream, '>')
    local entries = read and read[1][2] or {}
    for _, found in ipairs(entries) do add(number, queue, found) end
    is_full = bytes >= most_bytes
    count = #entries < chunk and 0 or count - chunk
  end
end

for i, stream in ipairs(KEYS) do
  if is_full or #pulled >= most then break end
  pull_returned(i - 1, ARGV[QUEUES_AT + i], stream)
end
for i, stream in ipairs(KEYS) do
  local queue = ARGV[QUEUES_AT + i]
  local base = base_queue(queue)
  if queue ~= base then
    read_new(i - 1, queue, stream, most - #pulled)
    if #pulled < most and not is_full and release_by_turn(base, most - #pulled) > 0 then
      read_new(i - 1, queue, stream, most - #pulled)
    end
  end
end
return pulled

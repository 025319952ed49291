-- Pulls the entries that go before new ones: those that were handed back or recovered; then, of the streams `~NAME`,
-- jobs that were released from lanes, and parked jobs of tenants. Tenants take turns by weight (start-time fair
-- queueing).
--
-- KEYS     the streams, in the order in which they are read
-- ARGV     1 namespace, 2 worker, 3 the most entries, then the queue name of each stream (`NAME`, `~NAME`)
-- Returns  a list of {number of the stream from 0, entry, fields, crashes so far, checkpoint ('' = none)}
-- Writes   the pending lists of the streams; of tenants: parked jobs, lanes, `{ns}:tenants:QUEUE` (+ `:turn`,
--          `:weights`), the stream `~NAME`, checkpoints
-- Repeat   safe, but does not return the same entries again: those are pending for the worker
-- Bound    a few commands an entry (at most 512), for each tenant whose lane is empty, and for each entry id whose job
--          has left its lane
local worker, most = ARGV[2], tonumber(ARGV[3])
local QUEUES_AT = 3
local pulled = {}

local function add(number, queue, found)
  local entry_id = entry_id_of(queue, found[1])
  pulled[#pulled + 1] = {
    number,
    found[1],
    found[2],
    tonumber(redis.call('HGET', NS .. ':crashes', entry_id) or '0'),
    redis.call('HGET', NS .. ':checkpoints', entry_id) or '',
  }
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

local function read_new(number, queue, stream)
  local read = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', most - #pulled, 'STREAMS', stream, '>')
  for _, found in ipairs(read and read[1][2] or {}) do add(number, queue, found) end
end

for i, stream in ipairs(KEYS) do
  if #pulled >= most then break end
  local queue, ids = ARGV[QUEUES_AT + i], {}
  local returned = redis.call('XPENDING', stream, GROUP, '-', '+', most - #pulled, RETURNED)
  for k, p in ipairs(returned) do ids[k] = p[1] end
  if #ids > 0 then
    for _, found in ipairs(redis.call('XCLAIM', stream, GROUP, worker, 0, unpack(ids))) do
      add(i - 1, queue, found)
    end
  end
end
for i, stream in ipairs(KEYS) do
  local queue = ARGV[QUEUES_AT + i]
  local base = base_queue(queue)
  if #pulled < most and queue ~= base then
    read_new(i - 1, queue, stream)
    if #pulled < most and release_by_turn(base, most - #pulled) > 0 then read_new(i - 1, queue, stream) end
  end
end
return pulled

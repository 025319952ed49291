-- Takes entries that were given back, or that a dead worker left; then, of the streams that are read first
-- (`~NAME`), what is new there, and what the tenants who wait get of the free places: in turn, each by
-- its weight (start-time fair queueing).
--
-- KEYS     the streams, in the order in which they are looked through
-- ARGV     prefix, worker, how many at most, then the name of each stream
-- Returns  a list of {number of the stream from 0, entry, fields, crashes so far, resume ('' = nothing
--          remembered)}
local worker, count = ARGV[2], tonumber(ARGV[3])
local taken = {}

local function take(number, queue, found)
  local place = place_of(queue, found[1])
  taken[#taken + 1] = {
    number,
    found[1],
    found[2],
    tonumber(redis.call('HGET', P .. ':crashes', place) or '0'),
    redis.call('HGET', P .. ':resume', place) or '',
  }
end

-- Lets go of up to `most` jobs that were laid aside by tenant.
local function deal(queue, most)
  local order = P .. ':tenants:' .. queue
  local dealt = 0
  while dealt < most do
    local first = redis.call('ZRANGE', order, 0, 0, 'WITHSCORES')
    local tenant = first[1]
    if not tenant then break end
    local lane = 'tenant:' .. queue .. ':' .. tenant
    local id = redis.call('LPOP', P .. ':lane:' .. lane)
    if not id then
      redis.call('ZREM', order, tenant)
      redis.call('HDEL', order .. ':weights', tenant)
      -- Where nobody waits, all begin anew.
      if redis.call('EXISTS', order) == 0 then redis.call('DEL', order .. ':turn') end
    elseif let_go(id, lane) then
      local weight = tonumber(redis.call('HGET', order .. ':weights', tenant) or '1')
      redis.call('SET', order .. ':turn', first[2])
      redis.call('ZINCRBY', order, 1 / weight, tenant)
      dealt = dealt + 1
    end
  end
  return dealt
end

local function read_new(number, queue, stream)
  local read = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', count - #taken, 'STREAMS', stream, '>')
  for _, found in ipairs(read and read[1][2] or {}) do take(number, queue, found) end
end

for i, stream in ipairs(KEYS) do
  if #taken >= count then break end
  local queue, ids = ARGV[3 + i], {}
  local returned = redis.call('XPENDING', stream, GROUP, '-', '+', count - #taken, RETURNED)
  for k, p in ipairs(returned) do ids[k] = p[1] end
  if #ids > 0 then
    for _, found in ipairs(redis.call('XCLAIM', stream, GROUP, worker, 0, unpack(ids))) do
      take(i - 1, queue, found)
    end
  end
end
for i, stream in ipairs(KEYS) do
  local queue = ARGV[3 + i]
  if #taken < count and queue ~= queue_of(queue) then
    read_new(i - 1, queue, stream)
    if #taken < count and deal(queue_of(queue), count - #taken) > 0 then read_new(i - 1, queue, stream) end
  end
end
return taken

-- Corrects the windows of a limit that is new or counts something else than before, by what the ledger knows of the calls
-- that began before. A limit that is introduced counts a window anew if the window has counted calls of another
-- definition: no record says which.
--
-- KEYS[1]  `{ns}:limits`: records of limits, by name
-- ARGV     1 namespace, 2 limit, 3 its record as the caller read it ('' = none), 4 its new record ('' = leave it), then
--          of each meter: an amount of zero (see reservations.lua), the units used and held by those calls, which may be
--          negative
-- Returns  1; 0 when another leader changed the record, and nothing was done
-- Writes   `{ns}:limits`; `used`, `held`, `definition`, `since`, `corrected_used`, `corrected_held` and `retry` of meters;
--          `{ns}:windows`, `{ns}:alerts:look`, `{ns}:lanes:due`, events
-- Repeat   safe: the figures replace those of the call before
-- Bound    a few commands a meter
local FIRST, ARITY = 5, 3
local limit, read, record = ARGV[2], ARGV[3], ARGV[4]
local stored = redis.call('HGET', KEYS[1], limit) or ''
if stored ~= read and stored ~= record then return 0 end

-- Opens the window, unless the meter counts a later one or there is nothing to count. Returns whether it is open.
local function is_open(amount, used, held, now)
  local key = meter_key(amount[2])
  local m = redis.call('HMGET', key, 'w', 'since_of')
  local counted, since_of = tonumber(m[1] or '-1'), m[2]
  if counted == amount[3] then
    if read == '' and since_of and since_of ~= amount[9] then
      redis.call('HSET', key, 'used', '0')
      redis.call('HDEL', key, 'since', 'since_of')
    end
    return true
  end
  if is_over(amount, counted) or used == 0 and held == 0 then return false end
  open_window(amount, now)
  redis.call('HDEL', key, 'since', 'since_of')
  return true
end

local function add(key, field, units)
  local more = units - tonumber(redis.call('HGET', key, 'corrected_' .. field) or '0')
  redis.call('HSET', key, 'corrected_' .. field, digits(units))
  if more ~= 0 then redis.call('HINCRBY', key, field, digits(more)) end
  return more
end

local function correct(amount, used, held, now)
  local meter = amount[2]
  local key = meter_key(meter)
  if is_open(amount, used, held, now) then
    redis.call('HSET', key, 'definition', amount[9], 'limit', digits(amount[5]))
    if add(key, 'used', used) ~= 0 then redis.call('SADD', NS .. ':alerts:look', meter) end
    add(key, 'held', held)
  end
  redis.call('HDEL', key, 'awaited_since')
  -- The jobs in the lane may have waited for this. Some may have to end now, so they are tried even without room.
  if redis.call('EXISTS', quota_lane(meter)) == 1 then
    redis.call('HSET', key, 'retry', '1')
    schedule_lane(meter, now)
  end
end

local now = now_ms()
if record ~= '' then redis.call('HSET', KEYS[1], limit, record) end
for at = FIRST, #ARGV, ARITY do
  correct(cjson.decode(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), now)
end
return 1

-- Closes windows that are over: reports each to the ledger as it ended, whether or not another begins. A call that
-- ends later reports its window again (consumption.lua).
--
-- Deletes meters that are not used any more: a window a day after its end (no call runs that long), and a window
-- without an end, where the caller allows it, after 30 days without use.
--
-- KEYS[1]  `{ns}:windows`: meters by when to check them: at the end of their windows
-- ARGV     1 namespace, 2 the most meters, then prefixes of the meters without an end that may be deleted
-- Returns  how many were checked
-- Writes   `{ns}:windows`, `{ns}:lanes:retry`, events, `reported` and `used_at_check` of meters, their expiry
-- Repeat   safe, also from two leaders: a window that is reported is marked
-- Bound    a few commands a meter
local FIRST_PREFIX = 3
local HOUR = 3600000
local now = now_ms()

local function check_again(meter, at) redis.call('ZADD', KEYS[1], digits(at), meter) end

local function may_be_deleted(meter)
  for at = FIRST_PREFIX, #ARGV do
    if string.sub(meter, 1, #ARGV[at]) == ARGV[at] then return true end
  end
  return false
end

-- A meter was not used for 30 days when two checks find the same amount: they are that far apart.
local function check_endless(meter, key, m)
  local used, held, used_at_check = m[2], m[3], m[6]
  local is_unused = held == '0' and used_at_check == used
  if is_unused and may_be_deleted(meter) and redis.call('EXISTS', quota_lane(meter)) == 0 then
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[1], meter)
  else
    redis.call('HSET', key, 'used_at_check', used)
    check_again(meter, now + UNUSED)
  end
end

local function check(meter)
  local key = meter_key(meter)
  local m = redis.call('HMGET', key, 'w', 'used', 'held', 'end', 'limit', 'used_at_check', 'reported')
  if not m[1] then
    redis.call('ZREM', KEYS[1], meter)
  elseif m[4] == '0' then
    check_endless(meter, key, m)
  else
    if not m[7] then
      if m[2] ~= '0' then report_window(meter, m[1], m[4], m[2], m[5]) end
      redis.call('HSET', key, 'reported', '1')
    end
    if redis.call('EXISTS', quota_lane(meter)) == 1 then
      -- release_lanes.lua needs the meter while jobs are parked for it.
      check_again(meter, now + HOUR)
    else
      redis.call('EXPIRE', key, DAY_SECONDS)
      redis.call('ZREM', KEYS[1], meter)
    end
  end
end

local meters = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, meter in ipairs(meters) do check(meter) end
if #meters > 0 then retry_lanes('window', now) end
return #meters

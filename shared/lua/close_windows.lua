-- Closes windows that are over: each goes to the record as it ended, whether or not another begins. Doing
-- it again, or at two leaders, changes nothing. A call that ends later is told by whoever ends it.
--
-- What nobody uses any more is forgotten: a window a day after its end (no call runs that long), and a
-- sum without an end only where the caller allows it, once nothing was spent on it for 30 days.
--
-- KEYS[1]  the meters of windows, by when to look at them: at their end
-- ARGV     prefix, how many at most, then what the names of sums begin with that may be forgotten unused
-- Returns  how many were looked at
local DAY, HOUR = 86400, 3600000
local now = now_ms()

local function look_again(meter, at) redis.call('ZADD', KEYS[1], whole(at), meter) end

local function may_be_forgotten(meter)
  for at = 3, #ARGV do
    if string.sub(meter, 1, #ARGV[at]) == ARGV[at] then return true end
  end
  return false
end

-- Two looks that see the same are so long apart that it went unused for as long.
local function look_at_endless(meter, key, m)
  local unused = m[3] == '0' and m[6] == m[2]
  if unused and may_be_forgotten(meter) and redis.call('EXISTS', quota_lane(meter)) == 0 then
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[1], meter)
  else
    redis.call('HSET', key, 'seen', m[2])
    look_again(meter, now + UNUSED)
  end
end

local function look_at(meter)
  local key = meter_key(meter)
  local m = redis.call('HMGET', key, 'w', 'used', 'held', 'end', 'limit', 'seen', 'told')
  if not m[1] then
    redis.call('ZREM', KEYS[1], meter)
  elseif m[4] == '0' then
    look_at_endless(meter, key, m)
  else
    if not m[7] then
      if m[2] ~= '0' then tell_window(meter, m[1], m[4], m[2], m[5]) end
      redis.call('HSET', key, 'told', '1')
    end
    if redis.call('EXISTS', quota_lane(meter)) == 1 then
      -- What those who wait have to know stands there as well.
      look_again(meter, now + HOUR)
    else
      redis.call('EXPIRE', key, DAY)
      redis.call('ZREM', KEYS[1], meter)
    end
  end
end

local meters = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, meter in ipairs(meters) do look_at(meter) end
return #meters

-- Claims alerts that are to be delivered. Should the claimer die, they are due again when its claim is over.
--
-- KEYS[1]  the alerts, by when to deliver them
-- ARGV     prefix, how many at most, how long the claim holds (ms)
-- Returns  {id, alert as JSON text, ...}
local now, claimed = now_ms(), {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local alert = redis.call('HGET', P .. ':alerts', id)
  if alert then
    redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), id)
    claimed[#claimed + 1] = id
    claimed[#claimed + 1] = alert
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return claimed

-- Claims alerts that are due for delivery. If the caller dies they are due again when its claim ends.
--
-- KEYS[1]  `{ns}:alerts:due`: alerts by when to deliver them
-- ARGV     1 namespace, 2 the most alerts, 3 duration of the claim (ms)
-- Returns  {id, alert as JSON, …}
-- Writes   `{ns}:alerts:due`
-- Repeat   safe: alerts of a lost reply are due again when the claim ends
-- Bound    a few commands an alert
local now, claimed = now_ms(), {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local alert = redis.call('HGET', NS .. ':alerts', id)
  if alert then
    redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), id)
    claimed[#claimed + 1] = id
    claimed[#claimed + 1] = alert
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return claimed

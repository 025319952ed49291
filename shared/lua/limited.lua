-- Tells all workers that a provider limits an account, and cuts the number of calls at once.
--
-- KEYS[1]  until when accounts are not to be called
-- ARGV     prefix, account, until when (ms; 0 = only fewer at once), meter of its places ('' = none),
--          their limit
-- Returns  'ok'
local account, until_ms, meter, limit = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local now = now_ms()
local known = tonumber(redis.call('HGET', KEYS[1], account) or '0')
if until_ms > known then
  redis.call('HSET', KEYS[1], account, whole(until_ms))
  redis.call('PUBLISH', P .. ':control', 'limited ' .. account .. ' ' .. whole(until_ms))
end
if meter ~= '' then
  local key = meter_key(meter)
  local m = redis.call('HMGET', key, 'cap', 'cut')
  -- The calls that were on the way say the same: once a second is enough.
  if now - tonumber(m[2] or '0') >= 1000 then
    local cap = math.max(1, tonumber(m[1] or limit) / 2)
    redis.call('HSET', key, 'cap', string.format('%.4f', cap), 'cut', whole(now))
  end
end
return 'ok'

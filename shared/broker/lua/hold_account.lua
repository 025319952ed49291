-- Holds an account whose provider answered that it is rate limited: no worker calls it until then. Halves its slots,
-- at most once a second.
--
-- KEYS[1]  `{ns}:account:holds`: by account, until when (ms)
-- ARGV     1 namespace, 2 account, 3 until when (ms; 0 = only cut), 4 meter of its slots ('' = none), 5 their limit
-- Returns  'ok'
-- Writes   `{ns}:account:holds`, the control channel, `{ns}:lanes:retry`, `cap` and `cut` of the meter
-- Repeat   safe: an earlier time changes nothing; a cut within a second of the last one is skipped
-- Bound    constant
local account, until_ms, meter, limit = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local CUT_INTERVAL = 1000
local now = now_ms()
local known = tonumber(redis.call('HGET', KEYS[1], account) or '0')
if until_ms > known then
  redis.call('HSET', KEYS[1], account, digits(until_ms))
  redis.call('PUBLISH', NS .. ':control', 'limited ' .. account .. ' ' .. digits(until_ms))
  retry_lanes('account ' .. account, until_ms)
end
if meter ~= '' then
  local key = meter_key(meter)
  local m = redis.call('HMGET', key, 'cap', 'cut')
  -- The calls that were running get the same 429: they cut once together.
  if now - tonumber(m[2] or '0') >= CUT_INTERVAL then
    local cap = math.max(1, tonumber(m[1] or limit) / 2)
    redis.call('HSET', key, 'cap', string.format('%.4f', cap), 'cut', digits(now))
  end
end
return 'ok'

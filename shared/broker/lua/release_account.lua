-- Ends the hold of an account before its time. Jobs that are parked until the end of the hold become due now.
--
-- KEYS[1]  `{ns}:account:holds`
-- ARGV     1 namespace, 2 account, 3 when the hold would have ended (ms), for the pages after the first ('' = the first)
-- Returns  {when the hold would have ended (ms, -1: it was not held), how many jobs became due; 1,000: there may be more}
-- Writes   `{ns}:account:holds`, `{ns}:account:reasons`, the control channel, `{ns}:lanes:retry`, `{ns}:lane:time`, the
--          wake channel
-- Repeat   safe: it is not held
-- Bound    1,000 jobs
local account, until_ms = ARGV[2], tonumber(ARGV[3])
-- A job is parked until the end that its worker knew: within a second of it.
local NEAR, MOST = 1000, 1000
local now = now_ms()
if not until_ms then
  until_ms = tonumber(redis.call('HGET', KEYS[1], account) or '0')
  redis.call('HDEL', KEYS[1], account)
  redis.call('HDEL', NS .. ':account:reasons', account)
  if until_ms <= now then return {-1, 0} end
  redis.call('PUBLISH', NS .. ':control', 'limited ' .. account .. ' 0')
  retry_lanes('account ' .. account, now)
end
local lane = NS .. ':lane:time'
local parked = redis.call('ZRANGEBYSCORE', lane, math.max(now + 1, until_ms - NEAR), until_ms + NEAR, 'LIMIT', 0, MOST)
-- A job that waits for a time of its own until then is parked again.
for _, entry_id in ipairs(parked) do redis.call('ZADD', lane, string.format('%.0f', now), entry_id) end
wake_scheduler()
return {until_ms, #parked}

-- Ends the hold of an account before its time. Jobs that are parked until the end of the hold become due now.
--
-- KEYS[1]  `{ns}:account:holds`
-- ARGV     1 namespace, 2 account, 3 when the hold would have ended (ms), for the pages after the first ('' = the
--          first), 4 only if it is a hold of this `PROVIDER DIGEST` ('' = of any)
-- Returns  {when the hold would have ended (ms; -1: it was not held, or was released within the last minute because
--          of 4), how many jobs became due (1,000: there may be more)}
-- Writes   `{ns}:account:holds`, `:reasons`, `:access` and `:released:ACCOUNT`, the control channel,
--          `{ns}:lanes:retry`, `{ns}:lane:time`, the wake channel
-- Repeat   safe: it is not held
-- Bound    1,000 jobs
local account, until_ms, access = ARGV[2], tonumber(ARGV[3]), ARGV[4]
-- A job is parked until the end that its worker knew, or until the answer to its own call said. Calls that were in flight
-- when the first was refused may have ended minutes later, and extended the hold (ms).
local EARLIER, LATER, MOST = 600000, 1000, 1000
-- While workers with two keys run side by side, their holds are not released in turns without end (seconds).
local PAUSE = 60
local now = now_ms()
if not until_ms then
  if access ~= '' then
    if redis.call('HGET', NS .. ':account:access', account) ~= access then return {-1, 0} end
    if not redis.call('SET', NS .. ':account:released:' .. account, '1', 'NX', 'EX', PAUSE) then return {-1, 0} end
  end
  until_ms = tonumber(redis.call('HGET', KEYS[1], account) or '0')
  redis.call('HDEL', KEYS[1], account)
  redis.call('HDEL', NS .. ':account:reasons', account)
  redis.call('HDEL', NS .. ':account:access', account)
  if until_ms <= now then return {-1, 0} end
  redis.call('PUBLISH', NS .. ':control', 'limited ' .. account .. ' 0')
  retry_lanes('account ' .. account, now)
end
local lane = NS .. ':lane:time'
local parked = redis.call('ZRANGEBYSCORE', lane, math.max(now + 1, until_ms - EARLIER), until_ms + LATER, 'LIMIT', 0, MOST)
-- A job that waits for a time of its own until then is parked again.
for _, entry_id in ipairs(parked) do redis.call('ZADD', lane, string.format('%.0f', now), entry_id) end
wake_scheduler()
return {until_ms, #parked}

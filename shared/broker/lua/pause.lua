-- Pauses a queue, a job type or a provider. Pausing it again replaces the end and the reason.
--
-- KEYS[1]  `{ns}:paused`
-- ARGV     1 namespace, 2 target (`queue:NAME`, `type:NAME`, `provider:NAME`), 3 duration (ms, '' = until someone
--          resumes it), 4 reason ('' = none)
-- Returns  the pause as JSON
-- Writes   `{ns}:paused`, `{ns}:resumed`, the control channel
-- Repeat   safe: `since` stays, a duration counts from the last call
-- Bound    one command a resumed lane and target
local target, for_ms, reason = ARGV[2], ARGV[3], ARGV[4]
local now = now_ms()
local known = is_paused(target, now) and cjson.decode(redis.call('HGET', KEYS[1], target))
local pause = {since = known and known.since or now}
if for_ms ~= '' then pause['until'] = now + tonumber(for_ms) end
if reason ~= '' then pause.reason = reason end
local text = cjson.encode(pause)
redis.call('HSET', KEYS[1], target, text)
-- Jobs that were not released yet stay parked.
for _, lane in ipairs(redis.call('SMEMBERS', NS .. ':resumed')) do
  if is_lane_paused(lane, now) then redis.call('SREM', NS .. ':resumed', lane) end
end
publish_pauses()
-- The scheduler ends it on time.
if for_ms ~= '' then wake_scheduler() end
return text

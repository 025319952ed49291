-- Resumes a queue, a job type or a provider.
--
-- KEYS[1]  `{ns}:paused`
-- ARGV     1 namespace, 2 target (`queue:NAME`, `type:NAME`, `provider:NAME`)
-- Returns  1, or 0 when it was not paused
-- Writes   `{ns}:paused`, `{ns}:resumed`, the control channel, the wake channel
-- Repeat   safe: changes nothing, returns 0
-- Bound    one command a lane of the target
local target = ARGV[2]
if redis.call('HDEL', KEYS[1], target) == 0 then return 0 end
mark_lanes_resumed(target)
publish_pauses()
wake_scheduler()
return 1

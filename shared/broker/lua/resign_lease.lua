-- Gives up the leader's lease, so that another scheduler can lead at once.
--
-- KEYS[1]  `{ns}:leader`
-- ARGV     1 namespace, 2 scheduler
-- Returns  1 when it led, else 0
-- Writes   `{ns}:leader`, the wake channel
-- Repeat   safe: changes nothing, returns 0
-- Bound    constant
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
wake_scheduler()
return redis.call('DEL', KEYS[1])

-- Removes a recorder that is gone from the group of the events stream. One that still has events pending stays until
-- another has claimed them.
--
-- KEYS[1]  `{ns}:events`
-- ARGV     1 namespace, 2 group, 3 recorder
-- Returns  1, or 0 when it is alive or has events pending
-- Writes   the stream's consumers
-- Repeat   safe: it is gone
-- Bound    constant
local group, recorder = ARGV[2], ARGV[3]
if redis.call('EXISTS', NS .. ':worker:' .. recorder) == 1 then return 0 end
if #redis.call('XPENDING', KEYS[1], group, '-', '+', 1, recorder) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], group, recorder)
return 1

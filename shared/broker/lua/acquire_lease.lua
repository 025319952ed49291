-- Acquires or renews the leader's lease. The token grows each time that the lease changes hands; steps that two leaders
-- must not both take compare it, and so refuse a leader that was replaced and does not know it.
--
-- KEYS[1]  `{ns}:leader`
-- ARGV     1 namespace, 2 scheduler, 3 duration of the lease (ms)
-- Returns  the leader's token, or 0: another scheduler leads
-- Writes   `{ns}:leader`, `{ns}:leader:token`
-- Repeat   safe: renews the lease with the same token
-- Bound    constant
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[2] then return 0 end
local token = holder and redis.call('GET', NS .. ':leader:token') or redis.call('INCR', NS .. ':leader:token')
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return tonumber(token)

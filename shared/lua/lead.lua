-- Takes or renews the leader's lease.
--
-- KEYS[1]  the lease
-- ARGV     prefix, who asks, for how long (ms)
-- Returns  1 when the asker leads, else 0
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1

-- Gives the leader's lease back, so that another may lead at once.
--
-- KEYS[1]  the lease
-- ARGV     prefix, who resigns
-- Returns  1 when it led, else 0
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
wake()
return redis.call('DEL', KEYS[1])

-- Takes or renews the leader's lease. Each time that it changes hands there is a new token; a step that two
-- leaders must not both take names it, and who was overtaken is refused, whatever it still believes.
--
-- KEYS[1]  the lease
-- ARGV     prefix, who asks, for how long (ms)
-- Returns  the leader's token, or 0: another leads
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[2] then return 0 end
local token = holder and redis.call('GET', P .. ':leader:token') or redis.call('INCR', P .. ':leader:token')
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return tonumber(token)

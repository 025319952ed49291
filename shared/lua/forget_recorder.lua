-- Forgets a writer of the record that is gone. One that read facts and did not record them stays until
-- another has claimed them: they are known by its name.
--
-- KEYS[1]  the stream of facts
-- ARGV     prefix, group, writer
-- Returns  1, or 0 when it lives or still has facts
local group, writer = ARGV[2], ARGV[3]
if redis.call('EXISTS', P .. ':worker:' .. writer) == 1 then return 0 end
if #redis.call('XPENDING', KEYS[1], group, '-', '+', 1, writer) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], group, writer)
return 1

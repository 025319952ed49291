-- Replaces a dead letter, unless it changed in the meantime. Its time of death moves by a millisecond:
-- whoever read it before and is about to replay or remove it means another letter.
--
-- KEYS[1]  the dead letters
-- ARGV     prefix, its id, the letter as it was read, the letter as it is to be
-- Returns  1, or 0 when it is not what was read
if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
redis.call('ZINCRBY', P .. ':dead', 1, ARGV[2])
return 1

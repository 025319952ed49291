-- Replaces a dead letter, if it is still the one that the caller read. Its time of death moves by a millisecond:
-- replays and removals that read it before address another dead letter.
--
-- KEYS[1]  `{ns}:dead:jobs`
-- ARGV     1 namespace, 2 entry id, 3 the dead letter as it was read, 4 the new one
-- Returns  1, or 0 when it is not the one that was read
-- Writes   `{ns}:dead:jobs`, `{ns}:dead`
-- Repeat   safe: it has changed (0)
-- Bound    constant
if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
redis.call('ZINCRBY', NS .. ':dead', 1, ARGV[2])
return 1

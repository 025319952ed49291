-- Stores a worker's heartbeat. Its key expires if no other follows.
--
-- KEYS[1]  `{ns}:worker:ID`
-- ARGV     1 namespace, 2 the heartbeat as JSON, 3 ms until it expires
-- Returns  1
-- Writes   KEYS[1]
-- Repeat   safe
-- Bound    constant
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1

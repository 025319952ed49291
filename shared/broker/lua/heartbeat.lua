-- Stores a worker's heartbeat, or ends the worker: others then recover what it holds at once.
--
-- KEYS[1]  `{ns}:worker:ID`
-- ARGV     1 namespace, 2 worker, 3 the heartbeat as JSON ('' = the worker ends), 4 ms until it expires
-- Returns  1
-- Writes   KEYS[1], `{ns}:workers:missing`
-- Repeat   safe
-- Bound    constant
local missing = NS .. ':workers:missing'
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', missing, ARGV[2], string.format('0 %.0f -', now_ms()))
  redis.call('EXPIRE', missing, 3600)
else
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
  redis.call('HDEL', missing, ARGV[2])
end
return 1

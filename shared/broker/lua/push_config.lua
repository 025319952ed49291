-- Pushes a configuration to the fleet, or removes the pushed one, and notifies all processes.
--
-- KEYS[1]  `{ns}:config`: a hash of text, version, pushed_at (ms)
-- ARGV     1 namespace, 2 the text ('' = remove it)
-- Returns  its version; a removal has one too, so that no process misses it
-- Writes   `{ns}:config`, the control channel
-- Repeat   safe: the same text gets one more version
-- Bound    constant
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], 'text', 'pushed_at')
else
  redis.call('HSET', KEYS[1], 'text', ARGV[2], 'pushed_at', now_ms())
end
redis.call('PUBLISH', NS .. ':control', 'config ' .. version)
return version

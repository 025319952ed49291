-- Gives the whole fleet a configuration, or takes it away, and says so to all who listen.
--
-- KEYS[1]  the pushed configuration: a hash of text, version, pushed_at (ms)
-- ARGV     prefix, the text; an empty one takes it away
-- Returns  its version; one that was taken away counts too, so that nobody misses it
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], 'text', 'pushed_at')
else
  redis.call('HSET', KEYS[1], 'text', ARGV[2], 'pushed_at', now_ms())
end
redis.call('PUBLISH', P .. ':control', 'config ' .. version)
return version

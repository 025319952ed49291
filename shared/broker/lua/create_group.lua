-- Creates the consumer group of a stream, from its first entry on, and the stream, if they do not exist.
--
-- KEYS[1]  the stream
-- ARGV     1 namespace, 2 group, 3 the queue to list in `{ns}:queues` ('' = none)
-- Returns  1 if it was created, 0 if it existed
-- Writes   the stream's groups, `{ns}:queues`
-- Repeat   safe: it exists
-- Bound    constant
if ARGV[3] ~= '' then redis.call('SADD', NS .. ':queues', ARGV[3]) end
local created = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[2], '0', 'MKSTREAM')
if not created.err then return 1 end
if string.match(created.err, '^BUSYGROUP') then return 0 end
return created

-- Stops a chain: what runs is cancelled, and nothing more is started.
--
-- KEYS[1]  the chain
-- ARGV     prefix, chain id
-- Returns  'asked', 'ended' it had ended before, or 'unknown'
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'unknown' end
if state == 'stopping' then return 'asked' end
if state ~= 'running' and state ~= 'open' then return 'ended' end
stop(ARGV[2], 'cancelled')
finish(ARGV[2])
return 'asked'

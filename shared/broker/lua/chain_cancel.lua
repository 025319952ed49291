-- Stops a chain: requests the cancellation of what runs and starts nothing more.
--
-- KEYS[1]  `{ns}:chain:ID`
-- ARGV     1 namespace, 2 chain id
-- Returns  'asked'; 'ended': it had ended before; 'unknown'
-- Writes   `{ns}:chain:ID…`, `{ns}:cancelled`, the control channel; of parked jobs: lanes, parked jobs, streams; of its
--          end also events and results
-- Repeat   safe: the chain is stopping ('asked') or has ended
-- Bound    a few commands for each running instance
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'unknown' end
if state == 'stopping' then return 'asked' end
if state ~= 'running' and state ~= 'open' then return 'ended' end
stop_chain(ARGV[2], 'cancelled')
finish(ARGV[2])
return 'asked'

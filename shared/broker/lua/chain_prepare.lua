-- Stores steps of a chain before it starts.
--
-- KEYS[1]  the queue's stream
-- ARGV     1 namespace, 2 entry, 3 worker, 4 `{ns}:chains:prepared:ENTRY_ID`, 5 seconds that they are kept, then of each
--          step: name, checkpoint, message, on_failure, min_success ('' = all items), dependents, '1' when it
--          ends early, queue ('' = the chain's; see step_record in chains.lua)
-- Returns  'ok', or 'gone': the entry is not the worker's
-- Writes   `{ns}:chains:prepared:ENTRY_ID`
-- Repeat   safe: writes the same; once the chain has started, the entry is no longer the worker's ('gone')
-- Bound    one command a step
local FIRST, ARITY = 6, 8
if owner_of(KEYS[1], ARGV[2]) ~= ARGV[3] then return 'gone' end
for at = FIRST, #ARGV, ARITY do
  redis.call('HSET', ARGV[4], ARGV[at], cmsgpack.pack({unpack(ARGV, at + 1, at + ARITY - 1)}))
end
redis.call('EXPIRE', ARGV[4], ARGV[5])
return 'ok'

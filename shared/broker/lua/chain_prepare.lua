-- Stores steps of a chain before it starts.
--
-- KEYS[1]  `{ns}:chains:prepared:ENTRY_ID`
-- ARGV     1 namespace, 2 seconds that they are kept, then of each step: name, checkpoint, message, on_failure,
--          min_success ('' = all items), dependents (see step_record in chains.lua)
-- Returns  how many steps
-- Writes   KEYS[1]
-- Repeat   safe: writes the same
-- Bound    one command a step
local ARITY = 6
local count = 0
for at = 3, #ARGV, ARITY do
  redis.call('HSET', KEYS[1], ARGV[at], cmsgpack.pack({unpack(ARGV, at + 1, at + ARITY - 1)}))
  count = count + 1
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return count

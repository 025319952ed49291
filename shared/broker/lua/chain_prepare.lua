-- Stores steps of a chain that has too many for one call, before it starts.
--
-- KEYS[1]  the queue's stream
-- ARGV     1 namespace, 2 entry, 3 worker, 4 `{ns}:chains:prepared:ENTRY_ID`, 5 seconds that they are kept, then of each
--          step: name and the values of step_record in chains.lua
-- Returns  'ok', or 'gone': the entry is not the worker's
-- Writes   `{ns}:chains:prepared:ENTRY_ID`
-- Repeat   safe: writes the same; once the chain has started, the entry is no longer the worker's ('gone')
-- Bound    one command (the caller sends at most 500 steps)
local FIRST = 6
if owner_of(KEYS[1], ARGV[2]) ~= ARGV[3] then return 'gone' end
put_steps(ARGV[4], FIRST)
redis.call('EXPIRE', ARGV[4], ARGV[5])
return 'ok'

-- Stores items of a step that has too many for one call, before it fans out.
--
-- KEYS[1]  the queue's stream
-- ARGV     1 namespace, 2 entry, 3 worker, 4 chain id, then of each item: instance (`STEP/INDEX`), checkpoint
-- Returns  'ok', or 'gone': the entry is not the worker's
-- Writes   `{ns}:chain:ID:items`
-- Repeat   safe: writes the same; once the step has fanned out, the entry is no longer the worker's ('gone')
-- Bound    one command (the caller sends at most 500 items)
local FIRST = 5
if owner_of(KEYS[1], ARGV[2]) ~= ARGV[3] then return 'gone' end
put_items(chain_key(ARGV[4]), FIRST)
return 'ok'

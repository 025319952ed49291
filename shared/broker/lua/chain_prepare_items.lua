-- Stores items of a step before it fans out.
--
-- KEYS[1]  `{ns}:chain:ID`
-- ARGV     1 namespace, then of each item: instance (`STEP/INDEX`), checkpoint
-- Returns  how many items
-- Writes   `{ns}:chain:ID:items`
-- Repeat   safe: writes the same
-- Bound    one command an item
local ARITY = 2
for at = 2, #ARGV, ARITY do put_item(KEYS[1], ARGV[at], ARGV[at + 1]) end
return (#ARGV - 1) / ARITY

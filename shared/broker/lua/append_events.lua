-- Appends events that are no part of another step.
--
-- KEYS[1]  `{ns}:events`
-- ARGV     1 namespace, then the events
-- Returns  how many events were given
-- Writes   events
-- Repeat   safe: the ledger keeps the first record of a fact
-- Bound    one command; callers give at most 100 events
local events = {}
for i = 2, #ARGV do events[i - 1] = ARGV[i] end
emit_all(events)
return #events

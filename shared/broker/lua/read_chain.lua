-- The outcome of a chain or a batch: of one that still runs, and of one whose outcome has expired.
--
-- KEYS[1]  `{ns}:chain:ID`
-- ARGV     1 namespace, 2 chain id
-- Returns  the outcome as JSON, or nil: the chain is unknown
-- Writes   nothing
-- Repeat   safe: it writes nothing
-- Bound    a few commands a step, 1000 items, 20 errors
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
return chain_outcome(ARGV[2])

-- Deletes chains and batches that ended before a time.
--
-- Parameters: $1 time, $2 limit.
-- Result:     none.
DELETE FROM chains
WHERE ctid = ANY (ARRAY(SELECT ctid FROM chains WHERE ended_at < $1 LIMIT $2))

-- Deletes reviews that ended before a time.
--
-- Parameters: $1 time, $2 limit.
-- Result:     none.
DELETE FROM reviews
WHERE ctid = ANY (ARRAY(SELECT ctid FROM reviews WHERE decided_at < $1 LIMIT $2))

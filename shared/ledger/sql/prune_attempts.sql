-- Deletes attempts that started before a time. Their costs leave all totals.
--
-- Parameters: $1 time, $2 limit.
-- Result:     none.
DELETE FROM attempts
WHERE ctid = ANY (ARRAY(SELECT ctid FROM attempts WHERE started_at < $1 LIMIT $2))

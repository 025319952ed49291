-- Deletes acts that began before a time.
--
-- Parameters: $1 time, $2 limit.
-- Result:     none.
DELETE FROM audit
WHERE ctid = ANY (ARRAY(SELECT ctid FROM audit WHERE at < $1 LIMIT $2))

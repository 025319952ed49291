-- Deletes alerts that were raised before a time.
--
-- Parameters: $1 time, $2 limit.
-- Result:     none.
DELETE FROM alerts
WHERE ctid = ANY (ARRAY(SELECT ctid FROM alerts WHERE at < $1 LIMIT $2))

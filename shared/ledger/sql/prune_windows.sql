-- Deletes the usage of windows that ended before a time.
--
-- Parameters: $1 time, $2 limit.
-- Result:     none.
DELETE FROM quota_windows
WHERE ctid = ANY (ARRAY(SELECT ctid FROM quota_windows WHERE end_at < $1 LIMIT $2))

-- Deletes jobs that finished before a time.
--
-- Parameters: $1 time, $2 limit.
-- Result:     none.
DELETE FROM jobs
WHERE ctid = ANY (ARRAY(SELECT ctid FROM jobs WHERE finished_at < $1 LIMIT $2))

-- Deletes some of the jobs that ended before a time.
--
-- In:  the time; at most so many.
-- Out: nothing.
DELETE FROM jobs
WHERE ctid = ANY (ARRAY(SELECT ctid FROM jobs WHERE finished_at < $1 LIMIT $2))

-- The messages that were dropped as duplicates of jobs, each job's in order.
--
-- Parameters: $1 their job_ids.
-- Result:     the columns of dropped_messages.
SELECT place, job_id, at
FROM dropped_messages
WHERE job_id = ANY ($1)
ORDER BY job_id, at, place

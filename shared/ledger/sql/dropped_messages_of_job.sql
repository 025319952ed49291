-- The messages that were dropped as duplicates of a job, in order.
--
-- Parameters: $1 job_id.
-- Result:     the columns of dropped_messages.
SELECT place, job_id, at
FROM dropped_messages
WHERE job_id = $1
ORDER BY at, place

-- The messages that were dropped as repetitions of a job, in their order.
--
-- In:  $1 job_id.
-- Out: the columns of dropped_messages.
SELECT place, job_id, at
FROM dropped_messages
WHERE job_id = $1
ORDER BY at, place

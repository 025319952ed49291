-- The attempts of jobs, each job's in order.
--
-- Parameters: $1 their job_ids.
-- Result:     the columns of attempts.
SELECT *
FROM attempts
WHERE job_id = ANY ($1)
ORDER BY job_id, attempt, started_at, attempt_id

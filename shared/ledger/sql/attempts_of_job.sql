-- The attempts of a job, in order.
--
-- Parameters: $1 job_id.
-- Result:     the columns of attempts.
SELECT *
FROM attempts
WHERE job_id = $1
ORDER BY attempt, started_at, attempt_id

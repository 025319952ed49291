-- The attempts of a job, in their order.
--
-- In:  $1 job_id.
-- Out: the columns of attempts.
SELECT *
FROM attempts
WHERE job_id = $1
ORDER BY attempt, started_at, attempt_id

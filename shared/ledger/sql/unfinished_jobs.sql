-- Jobs that have not finished according to the ledger, oldest first.
--
-- Parameters: $1 earliest enqueued_at, $2 limit.
-- Result:     job_id, state.
SELECT job_id, state
FROM jobs
WHERE enqueued_at >= $1 AND state IN ('scheduled', 'available', 'running', 'retryable')
ORDER BY enqueued_at, job_id
LIMIT $2

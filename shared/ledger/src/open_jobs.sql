-- Jobs that have not ended as far as the record knows.
--
-- In:  received at this time or later; at most so many.
-- Out: id, state; the oldest first.
SELECT job_id, state
FROM jobs
WHERE enqueued_at >= $1 AND state IN ('scheduled', 'available', 'running', 'retryable')
ORDER BY enqueued_at, job_id
LIMIT $2

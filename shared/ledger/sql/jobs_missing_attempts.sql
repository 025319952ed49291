-- Finished jobs that report more attempts than are recorded, oldest first.
--
-- Parameters: $1 earliest enqueued_at, $2 limit.
-- Result:     job_id, reported, recorded.
SELECT job_id, attempts::bigint AS reported, recorded
FROM jobs
CROSS JOIN LATERAL (
    SELECT count(*) AS recorded FROM attempts WHERE attempts.job_id = jobs.job_id
) AS rows
WHERE
    enqueued_at >= $1
    AND finished_at IS NOT NULL
    AND attempts > recorded
ORDER BY enqueued_at, job_id
LIMIT $2

-- Jobs that ended of which fewer attempts are recorded than they say that they had.
--
-- In:  received at this time or later; at most so many.
-- Out: id, attempts that the job says, attempts that are recorded; the oldest first.
SELECT job_id, attempts::bigint AS said, recorded
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

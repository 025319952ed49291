-- What failed: attempts that failed or were lost, and jobs that were discarded, in groups. The largest first.
--
-- Parameters: $1 the earliest start of an attempt and end of a job, $2 task_type, $3 queue, $4 tenant, $5 chain_id,
--             $6 platform; NULL means any for $2 to $6. $7 the columns to group by (class, platform, model, type, queue,
--             tenant), $8 the most groups.
-- Result:     the group (columns that are not grouped by are NULL), attempts and jobs in it, the first and last time;
--             of the newest attempt or of a job in it job_id and error; groups, all_attempts and all_jobs of all groups.
--
-- The class of an attempt whose worker died is its outcome, lost. The ids of attempts are times, so the highest is the
-- newest, and only the examples' rows are read in full. Each is looked up by its id: a join could read all attempts.
WITH failures AS (
    SELECT
        coalesce(error_class, outcome) AS class, platform, model, task_type, queue, tenant, started_at AS at,
        attempt_id::text COLLATE "C" AS attempt_id, NULL::text COLLATE "C" AS job_id
    FROM attempts
    WHERE outcome IN ('failed', 'lost')
        AND started_at >= $1
        AND ($2::text IS NULL OR task_type = $2)
        AND ($3::text IS NULL OR queue = $3)
        AND ($4::text IS NULL OR tenant = $4)
        AND ($5::text IS NULL OR chain_id = $5)
        AND ($6::text IS NULL OR platform = $6)
    UNION ALL
    SELECT error_class, platform, model, task_type, queue, tenant, finished_at, NULL, job_id
    FROM jobs
    WHERE state = 'discarded'
        AND finished_at >= $1
        AND ($2::text IS NULL OR task_type = $2)
        AND ($3::text IS NULL OR queue = $3)
        AND ($4::text IS NULL OR tenant = $4)
        AND ($5::text IS NULL OR chain_id = $5)
        AND ($6::text IS NULL OR platform = $6)
),
grouped AS (
    SELECT
        CASE WHEN 'class' = ANY ($7) THEN class END AS class,
        CASE WHEN 'platform' = ANY ($7) THEN platform END AS platform,
        CASE WHEN 'model' = ANY ($7) THEN model END AS model,
        CASE WHEN 'type' = ANY ($7) THEN task_type END AS task_type,
        CASE WHEN 'queue' = ANY ($7) THEN queue END AS queue,
        CASE WHEN 'tenant' = ANY ($7) THEN tenant END AS tenant,
        count(attempt_id) AS attempts,
        count(job_id) AS jobs,
        min(at) AS first_at,
        max(at) AS last_at,
        max(attempt_id) AS attempt_id,
        max(job_id) AS job_id,
        count(*) OVER () AS groups,
        (sum(count(attempt_id)) OVER ())::bigint AS all_attempts,
        (sum(count(job_id)) OVER ())::bigint AS all_jobs
    FROM failures
    GROUP BY 1, 2, 3, 4, 5, 6
    ORDER BY count(*) DESC, last_at DESC
    LIMIT $8
)
SELECT
    class, platform, model, task_type, queue, tenant, attempts, jobs, first_at, last_at, groups, all_attempts, all_jobs,
    example.job_id, example.error
FROM grouped
LEFT JOIN LATERAL (
    SELECT attempts.job_id, attempts.error
    FROM attempts
    WHERE attempts.attempt_id = grouped.attempt_id::uuid
    UNION ALL
    SELECT jobs.job_id, jobs.error
    FROM jobs
    WHERE jobs.job_id = grouped.job_id AND grouped.attempt_id IS NULL
    LIMIT 1
) AS example ON true
ORDER BY attempts + jobs DESC, last_at DESC

-- Jobs with the known cost of their attempts, newest first.
--
-- Parameters: $1 state, $2 task_type, $3 queue, $4 tenant, $5 chain_id, $6 platform, $7 earliest enqueued_at,
--             $8 job_id, $9 and $10 enqueued_at and job_id of the job before the page, $11 page size, $12 error_class,
--             $13 a text in the error, whatever its case, $14 model, $15 what metadata contains. NULL means any
--             ($9 and $10 together), and no limit for $11.
-- Result:     the columns of jobs, and cost_usd.
WITH found AS (
    SELECT *
    FROM jobs
    WHERE ($1::text IS NULL OR state = $1)
        -- Repeats the predicate of a partial index, which covers every other state.
        AND ($1::text IS NULL OR $1 = 'completed' OR state <> 'completed')
        AND ($2::text IS NULL OR task_type = $2)
        AND ($3::text IS NULL OR queue = $3)
        AND ($4::text IS NULL OR tenant = $4)
        AND ($5::text IS NULL OR chain_id = $5)
        AND ($6::text IS NULL OR platform = $6)
        AND ($7::timestamptz IS NULL OR enqueued_at >= $7)
        AND ($8::text IS NULL OR job_id = $8)
        AND ($9::timestamptz IS NULL OR (enqueued_at, job_id) < ($9, $10::text COLLATE "C"))
        -- Completed jobs have no error; without them, the same partial index serves.
        AND ($12::text IS NULL OR (error_class = $12 AND state <> 'completed'))
        AND ($13::text IS NULL OR (strpos(lower(error), lower($13)) > 0 AND state <> 'completed'))
        AND ($14::text IS NULL OR model = $14)
        AND ($15::jsonb IS NULL OR metadata @> $15)
    ORDER BY enqueued_at DESC, job_id DESC
    LIMIT $11
)
SELECT
    found.*,
    (
        SELECT coalesce(sum(attempts.cost_usd), 0)
        FROM attempts
        WHERE attempts.job_id = found.job_id
    ) AS cost_usd
FROM found
ORDER BY enqueued_at DESC, job_id DESC

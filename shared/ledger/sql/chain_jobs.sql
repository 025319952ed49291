-- Jobs of a chain with the known cost of their attempts, by job_id.
--
-- Parameters: $1 chain_id, $2 step (with all its items), $3 state, $4 the job_id before the page, $5 page size.
--             NULL means any for $2 to $4, and no limit for $5.
-- Result:     the columns of jobs, and cost_usd.
WITH found AS (
    SELECT *
    FROM jobs
    WHERE chain_id = $1
        AND ($2::text IS NULL OR split_part(step, '/', 1) = $2)
        AND ($3::text IS NULL OR state = $3)
        AND ($4::text IS NULL OR job_id > $4)
    ORDER BY job_id
    LIMIT $5
)
SELECT
    found.*,
    (
        SELECT coalesce(sum(attempts.cost_usd), 0)
        FROM attempts
        WHERE attempts.job_id = found.job_id
    ) AS cost_usd
FROM found
ORDER BY job_id

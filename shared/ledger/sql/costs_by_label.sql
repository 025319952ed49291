-- The cost of attempts by chain or queue, most expensive first. Reads every attempt of the period.
--
-- Parameters: $1 start and $2 end (exclusive) of when the calls began; $3 tenant, NULL means any; $4 'chain' or 'queue';
--             $5 maximum number of lines.
-- Result:     name (empty for attempts without a chain), tasks: the jobs that called, and sums.
SELECT
    coalesce(CASE $4 WHEN 'chain' THEN chain_id ELSE queue END, '') AS name,
    count(DISTINCT job_id) AS tasks,
    count(*) AS attempts,
    coalesce(sum(cost_usd), 0) AS cost_usd,
    count(*) FILTER (WHERE cost_usd IS NULL) AS unknown_cost_attempts
FROM attempts
WHERE started_at >= $1 AND started_at < $2
    AND ($3::text IS NULL OR tenant = $3)
GROUP BY 1
ORDER BY 4 DESC, 1
LIMIT $5

-- The cost of each job of a chain, by the time of its first call.
--
-- Parameters: $1 chain_id.
-- Result:     job_id, platform and model (of the last attempt), number of attempts, sums of costs.
SELECT
    job_id,
    (array_agg(platform ORDER BY started_at DESC, attempt_id DESC))[1] AS platform,
    (array_agg(model ORDER BY started_at DESC, attempt_id DESC))[1] AS model,
    count(*) AS attempts,
    coalesce(sum(cost_usd), 0) AS cost_usd,
    count(*) FILTER (WHERE cost_usd IS NULL) AS unknown_cost_attempts
FROM attempts
WHERE chain_id = $1
GROUP BY job_id
ORDER BY min(started_at), job_id

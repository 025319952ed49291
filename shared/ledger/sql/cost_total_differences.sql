-- What the totals of costs lack; what they have too much is negative.
--
-- Parameters: $1 and $2 first and last hour (exclusive), $3 limit.
-- Result:     period, start_at, platform, model, task_type, tenant, jobs, attempts, cost_usd.
SELECT period, start_at, platform, model, task_type, tenant, jobs, attempts, cost_usd
FROM cost_total_differences($1, $2)
ORDER BY start_at, period, platform, model, task_type, tenant
LIMIT $3

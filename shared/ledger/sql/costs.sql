-- The cost of attempts: in total, and by platform, task type and model, from one snapshot. Most expensive first.
--
-- Parameters: $1 earliest start, $2 end of the range (exclusive). NULL means any.
-- Result:     part (all, platform, type or model), name (empty for all), sums; tasks are distinct jobs. The sums of
--             reported costs cover the attempts whose provider reports one; the difference compares only attempts
--             with both costs.
SELECT
    CASE grouping(platform, task_type, model)
        WHEN 3 THEN 'platform'
        WHEN 5 THEN 'type'
        WHEN 6 THEN 'model'
        ELSE 'all'
    END AS part,
    coalesce(platform, task_type, model, '') AS name,
    count(DISTINCT job_id) AS tasks,
    count(*) AS attempts,
    coalesce(sum(cost_usd), 0) AS cost_usd,
    count(*) FILTER (WHERE cost_usd IS NULL) AS unknown_cost_attempts,
    coalesce(sum(reserved_usd) FILTER (WHERE cost_usd IS NULL), 0) AS reserved_unknown_usd,
    count(reported_cost_usd) AS reported_attempts,
    coalesce(sum(reported_cost_usd), 0) AS reported_usd,
    coalesce(sum(reported_cost_usd - cost_usd), 0) AS reported_difference_usd
FROM attempts
WHERE ($1::timestamptz IS NULL OR started_at >= $1)
    AND ($2::timestamptz IS NULL OR started_at < $2)
GROUP BY GROUPING SETS ((), (platform), (task_type), (model))
ORDER BY cost_usd DESC, name

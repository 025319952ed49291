-- The cost of attempts: in total, and by platform, task type, model, tenant and day, from one snapshot. Most expensive
-- first, days in order. Whole days and hours come from their totals, the rest from the attempts.
--
-- Parameters: start and end (exclusive) of each range: $1 and $2 of the days, $3 to $6 of the hours, $7 to $10 of the
--             attempts; $11 tenant, NULL means any; $12 whether by tenant, $13 whether by day.
-- Result:     part (all, platform, type, model, tenant or day), name (empty for all), sums; tasks are the jobs whose
--             first call of this name began in the ranges. The sums of reported costs cover the attempts whose provider
--             reports one; the difference compares only attempts with both costs.
WITH figures AS (
    SELECT
        date_bin('1 day', start_at, timestamptz 'epoch') AS day, platform, model, task_type, tenant,
        jobs, jobs_on_platform, jobs_with_model, jobs_of_type,
        attempts, failed_attempts, cancelled_attempts, lost_attempts,
        cost_usd, unknown_cost_attempts, reserved_unknown_usd,
        reported_attempts, reported_usd, reported_difference_usd
    FROM cost_totals
    WHERE (period = 'day' AND start_at >= $1 AND start_at < $2)
        OR (period = 'hour' AND start_at >= $3 AND start_at < $4)
        OR (period = 'hour' AND start_at >= $5 AND start_at < $6)
    UNION ALL
    SELECT
        date_bin('1 day', started_at, timestamptz 'epoch'), platform, model, task_type, tenant,
        jobs, jobs_on_platform, jobs_with_model, jobs_of_type,
        attempts, failed_attempts, cancelled_attempts, lost_attempts,
        cost_usd, unknown_cost_attempts, reserved_unknown_usd,
        reported_attempts, reported_usd, reported_difference_usd
    FROM attempt_figures
    WHERE (started_at >= $7 AND started_at < $8)
        OR (started_at >= $9 AND started_at < $10)
)
SELECT
    CASE grouping(platform, task_type, model, tenant, day)
        WHEN 15 THEN 'platform'
        WHEN 23 THEN 'type'
        WHEN 27 THEN 'model'
        WHEN 29 THEN 'tenant'
        WHEN 30 THEN 'day'
        ELSE 'all'
    END AS part,
    coalesce(platform, task_type, model, tenant, to_char(day AT TIME ZONE 'UTC', 'YYYY-MM-DD'), '') AS name,
    coalesce(
        CASE grouping(platform, task_type, model, tenant, day)
            WHEN 15 THEN sum(jobs_on_platform)
            WHEN 23 THEN sum(jobs_of_type)
            WHEN 27 THEN sum(jobs_with_model)
            ELSE sum(jobs)
        END,
        0
    )::bigint AS tasks,
    coalesce(sum(attempts), 0)::bigint AS attempts,
    coalesce(sum(failed_attempts), 0)::bigint AS failed_attempts,
    coalesce(sum(cancelled_attempts), 0)::bigint AS cancelled_attempts,
    coalesce(sum(lost_attempts), 0)::bigint AS lost_attempts,
    coalesce(sum(cost_usd), 0) AS cost_usd,
    coalesce(sum(unknown_cost_attempts), 0)::bigint AS unknown_cost_attempts,
    coalesce(sum(reserved_unknown_usd), 0) AS reserved_unknown_usd,
    coalesce(sum(reported_attempts), 0)::bigint AS reported_attempts,
    coalesce(sum(reported_usd), 0) AS reported_usd,
    coalesce(sum(reported_difference_usd), 0) AS reported_difference_usd
FROM figures
WHERE $11::text IS NULL OR tenant = left($11, 128)
GROUP BY GROUPING SETS ((), (platform), (task_type), (model), (tenant), (day))
HAVING (sum(attempts) > 0 OR grouping(platform, task_type, model, tenant, day) = 31)
    AND ($12 OR grouping(tenant) = 1)
    AND ($13 OR grouping(day) = 1)
ORDER BY CASE WHEN grouping(day) = 1 THEN sum(cost_usd) END DESC, name

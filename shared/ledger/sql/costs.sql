-- The cost of attempts: in total, and by platform, task type, model, tenant and day, from one snapshot. Most expensive
-- first, days in order. Whole days and hours come from their totals, parts of hours from the attempts.
--
-- Parameters: start and end (exclusive) of each range: $1 and $2 of the days, $3 to $6 of the hours, $7 to $10 of the
--             attempts; $11 tenant, NULL means any; $12 whether by tenant, $13 whether by day; $14 and $15 of the two
--             ranges of attempts: 1 to add them, -1 if they are in the hours and do not count.
-- Result:     part (all, platform, type, model, tenant or day), name (empty for all), sums; tasks are the jobs whose
--             first call of this name began in the ranges. The sums of reported costs cover the attempts whose provider
--             reports one; the difference compares only attempts with both costs. Of a day only the sums of a line.
--
-- Each of the many sums costs time for each row and each part. So the rows are summed up by everything but the day first,
-- and by day, and then those few sums by part. Adding 0 to a numeric costs as much as any number, so the rows with 0 are
-- left out. Counts are negative only where totals are wrong (see reconcile), and then shown as 0.
WITH figures AS (
    SELECT
        CASE WHEN $13 THEN date_bin('1 day', start_at, timestamptz 'epoch') END AS day, platform, model, task_type, tenant,
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
        CASE WHEN $13 THEN date_bin('1 day', started_at, timestamptz 'epoch') END, platform, model, task_type, tenant,
        sign * jobs, sign * jobs_on_platform, sign * jobs_with_model, sign * jobs_of_type,
        sign * attempts, sign * failed_attempts, sign * cancelled_attempts, sign * lost_attempts,
        sign * cost_usd, sign * unknown_cost_attempts, sign * reserved_unknown_usd,
        sign * reported_attempts, sign * reported_usd, sign * reported_difference_usd
    FROM attempt_figures
    CROSS JOIN LATERAL (
        SELECT CASE WHEN started_at >= $7 AND started_at < $8 THEN $14::integer ELSE $15::integer END AS sign
    ) AS signs
    WHERE (started_at >= $7 AND started_at < $8)
        OR (started_at >= $9 AND started_at < $10)
),
sums AS (
    SELECT
        grouping(day) = 0 AS is_day, day, platform, model, task_type, tenant,
        sum(jobs) AS jobs,
        sum(jobs_on_platform) AS jobs_on_platform,
        sum(jobs_with_model) AS jobs_with_model,
        sum(jobs_of_type) AS jobs_of_type,
        sum(attempts) AS attempts,
        sum(failed_attempts) AS failed_attempts,
        sum(cancelled_attempts) AS cancelled_attempts,
        sum(lost_attempts) AS lost_attempts,
        sum(cost_usd) AS cost_usd,
        sum(unknown_cost_attempts) AS unknown_cost_attempts,
        sum(reserved_unknown_usd) FILTER (WHERE unknown_cost_attempts <> 0) AS reserved_unknown_usd,
        sum(reported_attempts) AS reported_attempts,
        sum(reported_usd) FILTER (WHERE reported_attempts <> 0) AS reported_usd,
        sum(reported_difference_usd) FILTER (WHERE reported_attempts <> 0) AS reported_difference_usd
    FROM figures
    WHERE $11::text IS NULL OR tenant = left($11, 128)
    GROUP BY GROUPING SETS ((platform, model, task_type, tenant), (day))
),
parts AS (
    SELECT
        CASE grouping(platform, task_type, model, tenant)
            WHEN 7 THEN 'platform'
            WHEN 11 THEN 'type'
            WHEN 13 THEN 'model'
            WHEN 14 THEN 'tenant'
            ELSE 'all'
        END AS part,
        coalesce(platform, task_type, model, tenant, '') AS name,
        greatest(
            CASE grouping(platform, task_type, model, tenant)
                WHEN 7 THEN sum(jobs_on_platform)
                WHEN 11 THEN sum(jobs_of_type)
                WHEN 13 THEN sum(jobs_with_model)
                ELSE sum(jobs)
            END,
            0
        )::bigint AS tasks,
        greatest(sum(attempts), 0)::bigint AS attempts,
        greatest(sum(failed_attempts), 0)::bigint AS failed_attempts,
        greatest(sum(cancelled_attempts), 0)::bigint AS cancelled_attempts,
        greatest(sum(lost_attempts), 0)::bigint AS lost_attempts,
        coalesce(sum(cost_usd), 0) AS cost_usd,
        greatest(sum(unknown_cost_attempts), 0)::bigint AS unknown_cost_attempts,
        coalesce(sum(reserved_unknown_usd), 0) AS reserved_unknown_usd,
        greatest(sum(reported_attempts), 0)::bigint AS reported_attempts,
        coalesce(sum(reported_usd), 0) AS reported_usd,
        coalesce(sum(reported_difference_usd), 0) AS reported_difference_usd
    FROM sums
    WHERE NOT is_day
    GROUP BY GROUPING SETS ((), (platform), (task_type), (model), (tenant))
    HAVING (sum(attempts) > 0 OR grouping(platform, task_type, model, tenant) = 15)
        AND ($12 OR grouping(tenant) = 1)
    UNION ALL
    SELECT
        'day', to_char(day AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
        greatest(jobs, 0)::bigint, greatest(attempts, 0)::bigint, 0, 0, 0,
        cost_usd, greatest(unknown_cost_attempts, 0)::bigint, 0, 0, 0, 0
    FROM sums
    WHERE is_day AND $13 AND attempts > 0
)
SELECT *
FROM parts
ORDER BY CASE WHEN part <> 'day' THEN cost_usd END DESC, name

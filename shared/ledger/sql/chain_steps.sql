-- The steps of a chain that have jobs or attempts, by start time. The items of a step count as the step.
--
-- Parameters: $1 chain_id.
-- Result:     step (NULL for jobs of the chain that belong to no step), jobs by outcome, times, sums over attempts.
WITH done AS (
    SELECT
        split_part(step, '/', 1) AS step,
        count(*) AS jobs,
        count(*) FILTER (WHERE state = 'completed') AS completed,
        count(*) FILTER (WHERE state = 'discarded') AS failed,
        count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
        min(started_at) AS started_at,
        max(finished_at) AS finished_at,
        min(enqueued_at) AS enqueued_at
    FROM jobs
    WHERE chain_id = $1
    GROUP BY 1
), spent AS (
    SELECT
        split_part(step, '/', 1) AS step,
        count(*) AS attempts,
        sum(input_tokens)::bigint AS input_tokens,
        sum(output_tokens)::bigint AS output_tokens,
        sum(cost_usd) AS cost_usd,
        count(*) FILTER (WHERE cost_usd IS NULL) AS unknown_cost_attempts,
        min(started_at) AS called_at
    FROM attempts
    WHERE chain_id = $1
    GROUP BY 1
)
SELECT
    coalesce(done.step, spent.step) AS step,
    coalesce(jobs, 0) AS jobs,
    coalesce(completed, 0) AS completed,
    coalesce(failed, 0) AS failed,
    coalesce(cancelled, 0) AS cancelled,
    started_at,
    finished_at,
    coalesce(attempts, 0) AS attempts,
    coalesce(input_tokens, 0) AS input_tokens,
    coalesce(output_tokens, 0) AS output_tokens,
    coalesce(cost_usd, 0) AS cost_usd,
    coalesce(unknown_cost_attempts, 0) AS unknown_cost_attempts
FROM done
FULL JOIN spent ON coalesce(done.step, '') = coalesce(spent.step, '')
ORDER BY coalesce(started_at, called_at, enqueued_at), step

-- The outcomes of finished jobs, as producers receive them.
--
-- Parameters: $1 job_ids.
-- Result:     one row per finished job: the fields of its outcome, and sums over its attempts.
SELECT
    jobs.job_id,
    jobs.state,
    jobs.output,
    jobs.error,
    jobs.error_class,
    jobs.platform,
    jobs.model,
    jobs.finish_reason,
    jobs.attempts,
    jobs.metadata,
    jobs.warnings,
    jobs.tool_calls,
    jobs.tools,
    jobs.enqueued_at,
    jobs.started_at,
    jobs.finished_at,
    sums.*
FROM jobs
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(attempts.cost_usd), 0) AS cost_usd,
        coalesce(
            bool_or(attempts.cost_usd IS NULL OR (attempts.usage_estimated AND attempts.cost_usd > 0)), false
        ) AS cost_estimated,
        coalesce(sum(attempts.input_tokens), 0)::bigint AS input_tokens,
        coalesce(sum(attempts.output_tokens), 0)::bigint AS output_tokens,
        coalesce(sum(attempts.cached_tokens), 0)::bigint AS cached_tokens,
        coalesce(sum(attempts.reasoning_tokens), 0)::bigint AS reasoning_tokens
    FROM attempts
    WHERE attempts.job_id = jobs.job_id
) AS sums
WHERE jobs.job_id = ANY($1)
    AND jobs.state IN ('completed', 'discarded', 'cancelled')

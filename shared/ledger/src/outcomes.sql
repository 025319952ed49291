-- How jobs ended, as their producers are told, from the record.
--
-- In:  $1 job ids.
-- Out: of each that has ended: job_id, state, output, error, error_class, platform, model, finish_reason,
--      attempts, metadata, enqueued_at, started_at, finished_at, and the sums of all attempts: cost_usd,
--      input_tokens, output_tokens, cached_tokens, reasoning_tokens.
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
    jobs.enqueued_at,
    jobs.started_at,
    jobs.finished_at,
    sums.*
FROM jobs
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(attempts.cost_usd), 0) AS cost_usd,
        coalesce(sum(attempts.input_tokens), 0)::bigint AS input_tokens,
        coalesce(sum(attempts.output_tokens), 0)::bigint AS output_tokens,
        coalesce(sum(attempts.cached_tokens), 0)::bigint AS cached_tokens,
        coalesce(sum(attempts.reasoning_tokens), 0)::bigint AS reasoning_tokens
    FROM attempts
    WHERE attempts.job_id = jobs.job_id
) AS sums
WHERE jobs.job_id = ANY($1)
    AND jobs.state IN ('completed', 'discarded', 'cancelled')

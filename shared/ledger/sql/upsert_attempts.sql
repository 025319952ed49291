-- Records attempts. Of two accounts of an attempt, the one with the higher rank stays.
--
-- Parameters: one array per column, in the order below; $31 the decision as JSON. Each attempt_id at most once.
-- Result:     none.
--
-- The arrays are unnested side by side in the select list, because FROM would first copy each of them into a
-- tuplestore of its own.
INSERT INTO attempts (
    attempt_id, rank, job_id, queue, task_type, tenant, chain_id, parent_id, attempt, worker,
    platform, model, routing_reason, started_at, finished_at, outcome, duplicate, error_class,
    error, status, input_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
    output_tokens, reasoning_tokens, cost_usd, reserved_usd, response_id, traceparent,
    decision, reported_cost_usd, tokens_estimated, step, usage_estimated
)
SELECT
    unnest($1::uuid[]), unnest($2::smallint[]), unnest($3::text[]), unnest($4::text[]),
    unnest($5::text[]), unnest($6::text[]), unnest($7::text[]), unnest($8::text[]),
    unnest($9::integer[]), unnest($10::text[]), unnest($11::text[]), unnest($12::text[]),
    unnest($13::text[]), unnest($14::timestamptz[]), unnest($15::timestamptz[]),
    unnest($16::text[]), unnest($17::boolean[]), unnest($18::text[]), unnest($19::text[]),
    unnest($20::integer[]), unnest($21::bigint[]), unnest($22::bigint[]), unnest($23::bigint[]),
    unnest($24::bigint[]), unnest($25::bigint[]), unnest($26::bigint[]), unnest($27::numeric[]),
    unnest($28::numeric[]), unnest($29::text[]), unnest($30::text[]), unnest($31::text[])::jsonb,
    unnest($32::numeric[]), unnest($33::bigint[]), unnest($34::text[]), unnest($35::boolean[])
ON CONFLICT (attempt_id) DO UPDATE SET (
    rank, job_id, queue, task_type, tenant, chain_id, parent_id, attempt, worker, platform,
    model, routing_reason, started_at, finished_at, outcome, duplicate, error_class, error,
    status, input_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
    output_tokens, reasoning_tokens, cost_usd, reserved_usd, response_id, traceparent,
    decision, reported_cost_usd, tokens_estimated, step, usage_estimated
) = (
    excluded.rank, excluded.job_id, excluded.queue, excluded.task_type, excluded.tenant,
    excluded.chain_id, excluded.parent_id, excluded.attempt, excluded.worker, excluded.platform,
    excluded.model, excluded.routing_reason, excluded.started_at, excluded.finished_at,
    excluded.outcome, excluded.duplicate, excluded.error_class, excluded.error, excluded.status,
    excluded.input_tokens, excluded.cached_tokens, excluded.cache_write_tokens,
    excluded.cache_write_1h_tokens, excluded.output_tokens, excluded.reasoning_tokens,
    excluded.cost_usd, excluded.reserved_usd, excluded.response_id, excluded.traceparent,
    excluded.decision, excluded.reported_cost_usd, excluded.tokens_estimated, excluded.step,
    excluded.usage_estimated
)
WHERE attempts.rank < excluded.rank

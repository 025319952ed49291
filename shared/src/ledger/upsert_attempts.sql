-- Records attempts; of two accounts of one attempt the one that knows more stays.
--
-- In:  one array a column, in the order below; the decision as JSON text; every attempt_id once.
-- Out: nothing.
INSERT INTO attempts (
    attempt_id, rank, job_id, queue, task_type, tenant, chain_id, parent_id, attempt, worker,
    platform, model, routing_reason, started_at, finished_at, outcome, duplicate, error_class,
    error, status, input_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
    output_tokens, reasoning_tokens, cost_usd, reserved_usd, response_id, traceparent,
    decision, reported_cost_usd, tokens_estimated, step
)
SELECT
    attempt_id, rank, job_id, queue, task_type, tenant, chain_id, parent_id, attempt, worker,
    platform, model, routing_reason, started_at, finished_at, outcome, duplicate, error_class,
    error, status, input_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
    output_tokens, reasoning_tokens, cost_usd, reserved_usd, response_id, traceparent,
    decision::jsonb, reported_cost_usd, tokens_estimated, step
FROM unnest(
    $1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::integer[], $10::text[], $11::text[], $12::text[], $13::text[],
    $14::timestamptz[], $15::timestamptz[], $16::text[], $17::boolean[], $18::text[],
    $19::text[], $20::integer[], $21::bigint[], $22::bigint[], $23::bigint[], $24::bigint[],
    $25::bigint[], $26::bigint[], $27::numeric[], $28::numeric[], $29::text[], $30::text[],
    $31::text[], $32::numeric[], $33::bigint[], $34::text[]
) AS given (
    attempt_id, rank, job_id, queue, task_type, tenant, chain_id, parent_id, attempt, worker,
    platform, model, routing_reason, started_at, finished_at, outcome, duplicate, error_class,
    error, status, input_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
    output_tokens, reasoning_tokens, cost_usd, reserved_usd, response_id, traceparent,
    decision, reported_cost_usd, tokens_estimated, step
)
ON CONFLICT (attempt_id) DO UPDATE SET (
    rank, job_id, queue, task_type, tenant, chain_id, parent_id, attempt, worker, platform,
    model, routing_reason, started_at, finished_at, outcome, duplicate, error_class, error,
    status, input_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
    output_tokens, reasoning_tokens, cost_usd, reserved_usd, response_id, traceparent,
    decision, reported_cost_usd, tokens_estimated, step
) = (
    excluded.rank, excluded.job_id, excluded.queue, excluded.task_type, excluded.tenant,
    excluded.chain_id, excluded.parent_id, excluded.attempt, excluded.worker, excluded.platform,
    excluded.model, excluded.routing_reason, excluded.started_at, excluded.finished_at,
    excluded.outcome, excluded.duplicate, excluded.error_class, excluded.error, excluded.status,
    excluded.input_tokens, excluded.cached_tokens, excluded.cache_write_tokens,
    excluded.cache_write_1h_tokens, excluded.output_tokens, excluded.reasoning_tokens,
    excluded.cost_usd, excluded.reserved_usd, excluded.response_id, excluded.traceparent,
    excluded.decision, excluded.reported_cost_usd, excluded.tokens_estimated, excluded.step
)
WHERE attempts.rank < excluded.rank

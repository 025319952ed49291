-- Records jobs as they stand after an event; of two versions the newer stays.
--
-- In:  one array a column, in the order below; metadata as JSON text; every job_id once.
-- Out: nothing.
INSERT INTO jobs (
    job_id, version, queue, task_type, tenant, chain_id, parent_id, state, enqueued_at,
    started_at, finished_at, due_at, platform, model, attempts, prompt_head, output,
    finish_reason, error, error_class, metadata, traceparent, step
)
SELECT
    job_id, version, queue, task_type, tenant, chain_id, parent_id, state, enqueued_at,
    started_at, finished_at, due_at, platform, model, attempts, prompt_head, output,
    finish_reason, error, error_class, metadata::jsonb, traceparent, step
FROM unnest(
    $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
    $13::text[], $14::text[], $15::integer[], $16::text[], $17::text[], $18::text[],
    $19::text[], $20::text[], $21::text[], $22::text[], $23::text[]
) AS given (
    job_id, version, queue, task_type, tenant, chain_id, parent_id, state, enqueued_at,
    started_at, finished_at, due_at, platform, model, attempts, prompt_head, output,
    finish_reason, error, error_class, metadata, traceparent, step
)
ON CONFLICT (job_id) DO UPDATE SET (
    version, queue, task_type, tenant, chain_id, parent_id, state, enqueued_at, started_at,
    finished_at, due_at, platform, model, attempts, prompt_head, output, finish_reason, error,
    error_class, metadata, traceparent, step
) = (
    excluded.version, excluded.queue, excluded.task_type, excluded.tenant, excluded.chain_id,
    excluded.parent_id, excluded.state, excluded.enqueued_at, excluded.started_at,
    excluded.finished_at, excluded.due_at, excluded.platform, excluded.model, excluded.attempts,
    excluded.prompt_head, excluded.output, excluded.finish_reason, excluded.error,
    excluded.error_class, excluded.metadata, excluded.traceparent,
    excluded.step
)
WHERE jobs.version < excluded.version

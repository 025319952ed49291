-- Records jobs. Of two versions of a job, the newer one stays.
--
-- Parameters: one array per column, in the order below; $21, $24, $25 and $26 as JSON. Each job_id at most once.
-- Result:     none.
--
-- The arrays are unnested side by side in the select list, because FROM would first copy each of them into a
-- tuplestore of its own.
INSERT INTO jobs (
    job_id, version, queue, task_type, tenant, chain_id, parent_id, state, enqueued_at,
    started_at, finished_at, due_at, platform, model, attempts, prompt_head, output,
    finish_reason, error, error_class, metadata, traceparent, step,
    warnings, tool_calls, tools
)
SELECT
    unnest($1::text[]), unnest($2::bigint[]), unnest($3::text[]), unnest($4::text[]),
    unnest($5::text[]), unnest($6::text[]), unnest($7::text[]), unnest($8::text[]),
    unnest($9::timestamptz[]), unnest($10::timestamptz[]), unnest($11::timestamptz[]),
    unnest($12::timestamptz[]), unnest($13::text[]), unnest($14::text[]), unnest($15::integer[]),
    unnest($16::text[]), unnest($17::text[]), unnest($18::text[]), unnest($19::text[]),
    unnest($20::text[]), unnest($21::text[])::jsonb, unnest($22::text[]), unnest($23::text[]),
    unnest($24::text[])::jsonb, unnest($25::text[])::jsonb,
    unnest($26::text[])::jsonb
ON CONFLICT (job_id) DO UPDATE SET (
    version, queue, task_type, tenant, chain_id, parent_id, state, enqueued_at, started_at,
    finished_at, due_at, platform, model, attempts, prompt_head, output, finish_reason, error,
    error_class, metadata, traceparent, step, warnings, tool_calls, tools
) = (
    excluded.version, excluded.queue, excluded.task_type, excluded.tenant, excluded.chain_id,
    excluded.parent_id, excluded.state, excluded.enqueued_at, excluded.started_at,
    excluded.finished_at, excluded.due_at, excluded.platform, excluded.model, excluded.attempts,
    excluded.prompt_head, excluded.output, excluded.finish_reason, excluded.error,
    excluded.error_class, excluded.metadata, excluded.traceparent,
    excluded.step, excluded.warnings, excluded.tool_calls, excluded.tools
)
WHERE jobs.version < excluded.version

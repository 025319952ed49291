-- Records that messages became dead letters.
--
-- Parameters: one array per column, in the order below. Each (id, at) at most once.
-- Result:     none.
INSERT INTO dead_letters (
    id, at, place, queue, reason, error, task_type, platform, tenant, chain_id, attempts
)
SELECT *
FROM unnest(
    $1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::text[], $10::text[], $11::integer[]
)
ON CONFLICT (id, at) DO NOTHING

-- Stores whole dead letters. The first copy of a dead letter stays.
--
-- Parameters: one array per column, in the order below; $12 the JSON. Each (id, at) at most once.
-- Result:     none.
INSERT INTO dead_letters (
    id, at, place, queue, reason, error, task_type, platform, tenant, chain_id, attempts,
    letter, archived_at
)
SELECT given.*, now()
FROM unnest(
    $1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::text[], $10::text[], $11::integer[], $12::text[]
) AS given
ON CONFLICT (id, at) DO UPDATE SET letter = excluded.letter, archived_at = excluded.archived_at
WHERE dead_letters.letter IS NULL

-- Records chains. Of two versions of a chain, the newer one stays.
--
-- Parameters: one array per column, in the order below. Each chain_id at most once.
-- Result:     none.
INSERT INTO chains (chain_id, version, name, kind, state, steps, begun_at, ended_at)
SELECT *
FROM unnest(
    $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[],
    $7::timestamptz[], $8::timestamptz[]
)
ON CONFLICT (chain_id) DO UPDATE SET (
    version, name, kind, state, steps, begun_at, ended_at
) = (
    excluded.version, excluded.name, excluded.kind, excluded.state, excluded.steps,
    excluded.begun_at, excluded.ended_at
)
WHERE chains.version < excluded.version

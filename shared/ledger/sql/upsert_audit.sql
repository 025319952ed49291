-- Records acts. The end of an act replaces its begin.
--
-- Parameters: one array per column, in the order below. Each act_id at most once.
-- Result:     none.
INSERT INTO audit (act_id, at, actor, command, what, affected, outcome, error)
SELECT *
FROM unnest(
    $1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[]
)
ON CONFLICT (act_id) DO UPDATE SET
    affected = excluded.affected,
    outcome = excluded.outcome,
    error = excluded.error
WHERE audit.outcome = 'begun'

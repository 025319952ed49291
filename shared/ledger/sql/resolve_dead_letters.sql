-- Records what happened to dead letters. The first resolution stays.
--
-- Parameters: one array per column, in the order below. Each (id, at) at most once.
-- Result:     none.
INSERT INTO dead_letter_ends (id, at, resolution, gone_at)
SELECT *
FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::timestamptz[])
ON CONFLICT (id, at) DO NOTHING

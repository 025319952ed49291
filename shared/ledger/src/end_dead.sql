-- Says what became of dead letters; the first word stays.
--
-- In:  one array a column, in the order below; every (id, at) once.
-- Out: nothing.
INSERT INTO dead_letter_ends (id, at, resolution, gone_at)
SELECT *
FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::timestamptz[])
ON CONFLICT (id, at) DO NOTHING

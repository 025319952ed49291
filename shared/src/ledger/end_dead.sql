-- Says what became of dead letters; the first word stays.
--
-- In:  $1 ids, $2 times of death, in step; every pair once. $3 what became of all of them.
-- Out: nothing.
INSERT INTO dead_letter_ends (id, at, resolution)
SELECT id, at, $3
FROM unnest($1::text[], $2::timestamptz[]) AS given (id, at)
ON CONFLICT (id, at) DO NOTHING

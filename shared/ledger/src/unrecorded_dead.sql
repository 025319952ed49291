-- Which of these dead letters are not in the record.
--
-- In:  ids, times of death; each pair once.
-- Out: those ids.
SELECT given.id
FROM unnest($1::text[], $2::timestamptz[]) AS given (id, at)
WHERE NOT EXISTS (
    SELECT FROM dead_letters WHERE dead_letters.id = given.id AND dead_letters.at = given.at
)

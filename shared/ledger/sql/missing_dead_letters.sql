-- Those of the given dead letters that are not recorded.
--
-- Parameters: $1 ids, $2 times of death. Each pair at most once.
-- Result:     id.
SELECT given.id
FROM unnest($1::text[], $2::timestamptz[]) AS given (id, at)
WHERE NOT EXISTS (
    SELECT FROM dead_letters WHERE dead_letters.id = given.id AND dead_letters.at = given.at
)

-- Deletes dead letters that left Redis before a time, with their resolutions.
--
-- Parameters: $1 time, $2 limit.
-- Result:     none.
WITH old AS (
    SELECT id, at FROM dead_letter_ends WHERE gone_at < $1 LIMIT $2
),
letters AS (
    DELETE FROM dead_letters USING old
    WHERE dead_letters.id = old.id AND dead_letters.at = old.at
)
DELETE FROM dead_letter_ends USING old
WHERE dead_letter_ends.id = old.id AND dead_letter_ends.at = old.at

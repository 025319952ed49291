-- Dead letters of the record that nobody took out of Redis.
--
-- In:  dead at this time or later; at most so many.
-- Out: id, time of death; the oldest first.
SELECT id, at
FROM dead_letters
WHERE
    at >= $1
    AND NOT EXISTS (
        SELECT FROM dead_letter_ends
        WHERE dead_letter_ends.id = dead_letters.id AND dead_letter_ends.at = dead_letters.at
    )
ORDER BY at, id
LIMIT $2

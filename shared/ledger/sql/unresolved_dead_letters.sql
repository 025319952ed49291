-- Dead letters without a resolution, oldest first.
--
-- Parameters: $1 earliest time of death, $2 limit.
-- Result:     id, at.
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

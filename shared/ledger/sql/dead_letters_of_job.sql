-- The dead letters of a job with their resolution, in order.
--
-- Parameters: $1 id of the dead letter.
-- Result:     the columns of dead_letters, resolution, gone_at (NULL while the dead letter is in Redis).
SELECT dead_letters.*, dead_letter_ends.resolution, dead_letter_ends.gone_at
FROM dead_letters
LEFT JOIN dead_letter_ends USING (id, at)
WHERE id = $1
ORDER BY at

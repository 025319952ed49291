-- The dead letters of jobs with their resolution, each job's in order.
--
-- Parameters: $1 ids of the dead letters.
-- Result:     the columns of dead_letters, resolution, gone_at (NULL while the dead letter is in Redis).
SELECT dead_letters.*, dead_letter_ends.resolution, dead_letter_ends.gone_at
FROM dead_letters
LEFT JOIN dead_letter_ends USING (id, at)
WHERE id = ANY ($1)
ORDER BY id, at

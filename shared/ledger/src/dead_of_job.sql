-- The dead letters that a job has been, in their order, and what became of them.
--
-- In:  $1 the letter's id.
-- Out: the columns of dead_letters, and resolution and gone_at: NULL while it lies there.
SELECT dead_letters.*, dead_letter_ends.resolution, dead_letter_ends.gone_at
FROM dead_letters
LEFT JOIN dead_letter_ends USING (id, at)
WHERE id = $1
ORDER BY at

-- Moves attempts that do not belong to that partition out of it.
--
-- Parameters: $1 limit.
-- Result:     how many.
SELECT move_attempts_outside_split($1)

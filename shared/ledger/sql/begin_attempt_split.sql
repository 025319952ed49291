-- Begins to turn the default partition of attempts into a partition up to a time.
--
-- Parameters: $1 time.
-- Result:     none.
SELECT begin_attempt_split($1)

-- Makes the default partition of attempts that partition, with a new default partition.
--
-- Parameters: none.
-- Result:     none.
SELECT finish_attempt_split()

-- Creates the partition of attempts of a month.
--
-- Parameters: $1 the start of the month (UTC).
-- Result:     none.
SELECT create_attempt_partition($1)

-- Drops a partition whose attempts all started before a time, if the totals hold their costs.
--
-- Parameters: $1 time.
-- Result:     its name, NULL if there is none.
SELECT drop_attempt_partition($1)

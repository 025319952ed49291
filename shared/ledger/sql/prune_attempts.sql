-- Deletes attempts that started before a time, if the totals hold their costs. A partition that spans no more than a
-- tenth of the retention is dropped as a whole instead, once all of it is past.
--
-- Parameters: $1 time, $2 limit.
-- Result:     how many.
SELECT delete_old_attempts($1, (now() - $1) / 10, $2)

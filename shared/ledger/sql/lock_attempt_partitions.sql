-- Keeps others from changing the partitions of attempts until the connection is closed. Reading all attempts may take
-- longer than the server allows statements.
--
-- Parameters: none.
-- Result:     whether nobody else does so now.
SELECT pg_try_advisory_lock(7310583284156112948) AND set_config('statement_timeout', '0', false) IS NOT NULL

-- The clock of the server.
--
-- Parameters: none.
-- Result:     one time.
SELECT clock_timestamp()

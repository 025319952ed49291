-- Lets others change the partitions of attempts. The end of the connection does so too, but a moment after it is closed.
--
-- Parameters: none.
-- Result:     whether the lock was held.
SELECT pg_advisory_unlock(7310583284156112948)

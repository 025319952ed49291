-- Whether the default partition of attempts is being turned into a partition of its own.
--
-- Parameters: none.
-- Result:     one boolean.
SELECT EXISTS (SELECT FROM attempt_split)

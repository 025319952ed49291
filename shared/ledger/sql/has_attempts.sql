-- Whether any attempt is recorded.
--
-- Parameters: none.
-- Result:     one boolean.
SELECT EXISTS (SELECT FROM attempts)

-- Proves that the default partition has only attempts of that partition. Reads all of it, while others write to it.
--
-- Parameters: none.
-- Result:     none.
ALTER TABLE attempts_default VALIDATE CONSTRAINT attempts_split

-- Turns off just-in-time compilation until the end of the transaction: for a query with many sums over few rows it takes
-- longer than the query.
--
-- Parameters: none.
-- Result:     none.
SET LOCAL jit = off

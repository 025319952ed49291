-- Keeps others from writing totals of costs until the end of the transaction.
--
-- Parameters: none.
-- Result:     none.
SELECT lock_cost_totals()

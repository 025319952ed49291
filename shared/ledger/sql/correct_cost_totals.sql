-- Adds to the totals of costs what they lack. Nothing else may write totals until the end of the transaction.
--
-- Parameters: $1 and $2 first and last hour (exclusive).
-- Result:     how many totals were wrong.
SELECT corrected.count
FROM (
    SELECT count(*) AS count, add_to_cost_totals(array_agg(ROW(wrong.*)::cost_totals))
    FROM cost_total_differences($1, $2) AS wrong
) AS corrected

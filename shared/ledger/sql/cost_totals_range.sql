-- For which times the totals of costs and the attempts are complete.
--
-- Parameters: none.
-- Result:     complete_from, NULL if the totals hold all attempts; pruned_before, NULL if no attempt was deleted.
SELECT
    nullif(complete_from, '-infinity') AS complete_from,
    nullif(pruned_before, '-infinity') AS pruned_before
FROM cost_totals_range

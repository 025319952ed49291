-- Records that attempts which started before a time may be deleted. Their costs stay in the totals.
--
-- Parameters: $1 time.
-- Result:     none.
UPDATE cost_totals_range SET pruned_before = $1 WHERE pruned_before < $1

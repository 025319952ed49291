-- Records from which hour on the totals of costs are complete.
--
-- Parameters: $1 hour; NULL means they hold all attempts.
-- Result:     none.
UPDATE cost_totals_range SET complete_from = coalesce($1::timestamptz, '-infinity')

-- Deletes totals of costs from before the day of a time, unless their attempts are still there.
--
-- Parameters: $1 time, $2 limit.
-- Result:     none.
DELETE FROM cost_totals
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM cost_totals
    WHERE period IN ('hour', 'day')
        AND start_at < date_bin(
            '1 day',
            least($1, (SELECT pruned_before FROM cost_totals_range)),
            timestamptz 'epoch'
        )
    LIMIT $2
))

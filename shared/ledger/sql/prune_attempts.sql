-- Deletes attempts that started before a time, if the totals hold their costs.
--
-- Parameters: $1 time, $2 limit.
-- Result:     none.
DELETE FROM attempts
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM attempts
    WHERE started_at < $1 AND started_at >= (SELECT complete_from FROM cost_totals_range)
    LIMIT $2
))

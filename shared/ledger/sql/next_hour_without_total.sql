-- The newest hour whose attempts the totals of costs do not hold yet.
--
-- Parameters: none.
-- Result:     hour, NULL if there is none.
SELECT date_bin('1 hour', max(started_at), timestamptz 'epoch') AS hour
FROM attempts
WHERE started_at < (SELECT complete_from FROM cost_totals_range)

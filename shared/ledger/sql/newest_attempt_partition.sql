-- The end of the newest partition of attempts.
--
-- Parameters: none.
-- Result:     time (exclusive); no row if there is none but the default partition.
SELECT attempt_id_time(to_id) AS to_at
FROM attempt_partitions
WHERE NOT is_default
ORDER BY to_id DESC
LIMIT 1

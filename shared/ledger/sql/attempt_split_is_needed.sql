-- Whether the default partition of attempts has any after the newest partition and before a time.
--
-- Parameters: $1 time.
-- Result:     one boolean.
SELECT EXISTS (
    SELECT
    FROM attempts_default
    WHERE attempt_id < attempt_id_at($1)
        AND attempt_id >= coalesce(
            (SELECT to_id FROM attempt_partitions WHERE NOT is_default ORDER BY to_id DESC LIMIT 1),
            '00000000-0000-0000-0000-000000000000'
        )
)

-- Records messages that were dropped as duplicates.
--
-- Parameters: one array per column, in the order below. Each place at most once.
-- Result:     none.
INSERT INTO dropped_messages (place, job_id, at)
SELECT *
FROM unnest($1::text[], $2::text[], $3::timestamptz[])
ON CONFLICT (place) DO NOTHING

-- Records messages that were dropped as repetitions.
--
-- In:  one array a column, in the order below; every place once.
-- Out: nothing.
INSERT INTO dropped_messages (place, job_id, at)
SELECT *
FROM unnest($1::text[], $2::text[], $3::timestamptz[])
ON CONFLICT (place) DO NOTHING

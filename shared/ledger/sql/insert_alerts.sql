-- Records alerts. The first record of an alert stays.
--
-- Parameters: one array per column, in the order below. Each (meter, start_at, threshold) at most once.
-- Result:     none.
INSERT INTO alerts (meter, start_at, threshold, end_at, unit, used, allowed, at)
SELECT *
FROM unnest(
    $1::text[], $2::timestamptz[], $3::smallint[], $4::timestamptz[], $5::text[], $6::bigint[], $7::bigint[],
    $8::timestamptz[]
)
ON CONFLICT (meter, start_at, threshold) DO NOTHING

-- Records closed windows of quotas and budgets. Of two accounts of a window, the one with more usage stays; of equal
-- ones, the later.
--
-- Parameters: one array per column, in the order below. Each (meter, start_at) at most once.
-- Result:     none.
INSERT INTO quota_windows (meter, start_at, end_at, unit, used, allowed, closed_at)
SELECT *
FROM unnest(
    $1::text[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::bigint[], $6::bigint[],
    $7::timestamptz[]
)
ON CONFLICT (meter, start_at) DO UPDATE SET (
    end_at, unit, used, allowed, closed_at
) = (
    excluded.end_at, excluded.unit, excluded.used, excluded.allowed, excluded.closed_at
)
WHERE (quota_windows.used, quota_windows.closed_at) < (excluded.used, excluded.closed_at)

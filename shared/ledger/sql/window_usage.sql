-- What calls used of the window of a limit, by the tenant or chain that it counts for.
--
-- Parameters: $1 start and $2 end (exclusive) of when the calls began; $3 platforms, $4 tenant, $5 chain, NULL means any;
--             $6 'tenant' or 'chain' sums each by itself, '' sums all; $7 chains without a call since then are left out,
--             NULL means none; $8 owners whose calls end earlier, at $9; $10 maximum number of sums; $11 calls to leave
--             out.
-- Result:     owner ('' for all), requests that the provider counts, nano-dollars; the greatest sums first. A call of
--             unknown cost counts with its reservation.
WITH calls AS (
    SELECT
        CASE $6 WHEN 'tenant' THEN tenant WHEN 'chain' THEN chain_id ELSE '' END COLLATE "C" AS owner,
        started_at, outcome, status, error_class, cost_usd, reserved_usd
    FROM attempts
    WHERE started_at >= $1 AND started_at < $2
        AND attempt_id <> ALL ($11)
        AND ($3::text[] IS NULL OR platform = ANY ($3))
        AND ($4::text IS NULL OR tenant = $4)
        AND ($5::text IS NULL OR chain_id = $5)
        AND ($7::timestamptz IS NULL OR chain_id IN (SELECT recent.chain_id FROM attempts AS recent WHERE recent.started_at >= $7))
)
SELECT
    calls.owner,
    count(*) FILTER (
        WHERE cost_usd IS NULL
            OR (
                (outcome = 'completed' OR status IS NOT NULL)
                AND coalesce(error_class, '') NOT IN ('rate_limited', 'quota_exhausted')
            )
    ) AS requests,
    coalesce(sum(ceil(coalesce(cost_usd, reserved_usd) * 1000000000)), 0)::bigint AS nano_usd
FROM calls
LEFT JOIN unnest($8::text[], $9::timestamptz[]) AS ends (owner, at) ON ends.owner = calls.owner
WHERE calls.owner IS NOT NULL
    AND calls.started_at < CASE WHEN ends.at >= $1 AND ends.at < $2 THEN ends.at ELSE $2 END
GROUP BY calls.owner
ORDER BY 3 DESC, 2 DESC
LIMIT $10

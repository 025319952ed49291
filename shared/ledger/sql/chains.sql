-- Chains with the sums over their attempts, newest first.
--
-- Parameters: $1 state, $2 name, $3 and $4 begun_at and chain_id of the chain before the page, $5 chain_id,
--             $6 page size, $7 kind. NULL means any ($3 and $4 together), and no limit for $6.
-- Result:     the columns of chains, and the sums.
WITH found AS (
    SELECT *
    FROM chains
    WHERE ($1::text IS NULL OR state = $1)
        -- Repeats the predicate of a partial index, which covers every other state.
        AND ($1::text IS NULL OR $1 = 'completed' OR state <> 'completed')
        AND ($2::text IS NULL OR name = $2)
        AND ($3::timestamptz IS NULL OR (begun_at, chain_id) < ($3, $4::text COLLATE "C"))
        AND ($5::text IS NULL OR chain_id = $5)
        AND ($7::text IS NULL OR kind = $7)
    ORDER BY begun_at DESC, chain_id DESC
    LIMIT $6
)
SELECT found.*, spent.*
FROM found
CROSS JOIN LATERAL (
    SELECT
        count(*) AS attempts,
        coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
        coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
        coalesce(sum(cost_usd), 0) AS cost_usd,
        count(*) FILTER (WHERE cost_usd IS NULL) AS unknown_cost_attempts
    FROM attempts
    WHERE attempts.chain_id = found.chain_id
) AS spent
ORDER BY begun_at DESC, chain_id DESC

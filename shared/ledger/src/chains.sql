-- Chains, the newest first, with what their attempts come to.
--
-- In:  $1 state, $2 name, $3 and $4 begun_at and chain_id of the chain that the page follows, $5 chain_id: each
--      may be NULL, for any ($3 and $4 together). $6 how many at most.
-- Out: the columns of chains, and the sums.
WITH found AS (
    SELECT *
    FROM chains
    WHERE ($1::text IS NULL OR state = $1)
        -- Said again in the words of an index, which covers every state but this one.
        AND ($1::text IS NULL OR $1 = 'completed' OR state <> 'completed')
        AND ($2::text IS NULL OR name = $2)
        AND ($3::timestamptz IS NULL OR (begun_at, chain_id) < ($3, $4::text COLLATE "C"))
        AND ($5::text IS NULL OR chain_id = $5)
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

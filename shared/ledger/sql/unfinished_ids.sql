-- Those of the given jobs and chains that have not finished according to the ledger. The outcome of a chain has the
-- chain's id.
--
-- Parameters: $1 ids.
-- Result:     job_id.
SELECT given.job_id
FROM unnest($1::text[]) AS given (job_id)
WHERE NOT EXISTS (
    SELECT FROM jobs
    WHERE jobs.job_id = given.job_id AND jobs.state IN ('completed', 'cancelled', 'discarded')
)
AND NOT EXISTS (
    SELECT FROM chains
    WHERE chains.chain_id = given.job_id AND chains.ended_at IS NOT NULL
)

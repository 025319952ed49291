-- Which of these jobs and chains have not ended as far as the record knows.
--
-- In:  ids: a chain's outcome stands under its id as a job's does.
-- Out: those ids.
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

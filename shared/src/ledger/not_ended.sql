-- Which of these jobs have not ended as far as the record knows.
--
-- In:  ids.
-- Out: those ids.
SELECT given.job_id
FROM unnest($1::text[]) AS given (job_id)
WHERE NOT EXISTS (
    SELECT FROM jobs
    WHERE jobs.job_id = given.job_id AND jobs.state IN ('completed', 'cancelled', 'discarded')
)

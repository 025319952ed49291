-- The number of jobs in each state.
--
-- Parameters: none.
-- Result:     state, jobs; no row for a state without jobs.
SELECT state, count(*) AS jobs
FROM jobs
GROUP BY state

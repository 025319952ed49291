-- How many jobs there are in each state.
--
-- In:  nothing.
-- Out: state, jobs; no row for a state that no job is in.
SELECT state, count(*) AS jobs
FROM jobs
GROUP BY state

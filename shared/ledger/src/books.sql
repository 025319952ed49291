-- The books: every attempt, in the order of the ids.
--
-- In:  nothing.
-- Out: what an invoice would be compared with.
SELECT
    attempt_id, job_id, platform, model, outcome, duplicate, input_tokens, cached_tokens,
    cache_write_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, cost_usd,
    reserved_usd
FROM attempts
ORDER BY attempt_id

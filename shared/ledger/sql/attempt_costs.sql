-- Every attempt with its usage and cost, by id.
--
-- Parameters: none.
-- Result:     the columns to compare with a provider's invoice.
SELECT
    attempt_id, job_id, platform, model, outcome, duplicate, input_tokens, cached_tokens,
    cache_write_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, cost_usd,
    reserved_usd
FROM attempts
ORDER BY attempt_id

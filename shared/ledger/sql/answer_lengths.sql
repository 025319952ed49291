-- How long answers were: the average of the newest completed calls, by model and type of job.
--
-- Parameters: $1 calls before this time do not count, $2 how many calls are read at most, $3 how many a model and type
--             need.
-- Result:     model, task_type, tokens (output with reasoning, rounded up).
SELECT model, task_type, ceil(avg(output_tokens))::bigint AS tokens
FROM (
    SELECT model, task_type, output_tokens
    FROM attempts
    WHERE started_at >= $1 AND outcome = 'completed' AND output_tokens > 0
    ORDER BY started_at DESC
    LIMIT $2
) AS newest
GROUP BY model, task_type
HAVING count(*) >= $3

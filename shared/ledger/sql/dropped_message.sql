-- The message of an entry, if it was dropped as a duplicate.
--
-- Parameters: $1 entry id.
-- Result:     the columns of dropped_messages.
SELECT place, job_id, at
FROM dropped_messages
WHERE place = $1

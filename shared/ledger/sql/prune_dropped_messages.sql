-- Deletes records of messages that were dropped before a time.
--
-- Parameters: $1 time, $2 limit.
-- Result:     none.
DELETE FROM dropped_messages
WHERE ctid = ANY (ARRAY(SELECT ctid FROM dropped_messages WHERE at < $1 LIMIT $2))

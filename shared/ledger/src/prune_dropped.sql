-- Deletes some of what is known of messages that were dropped before a time.
--
-- In:  the time; at most so many.
-- Out: nothing.
DELETE FROM dropped_messages
WHERE ctid = ANY (ARRAY(SELECT ctid FROM dropped_messages WHERE at < $1 LIMIT $2))

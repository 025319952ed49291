-- Deletes some of the attempts that began before a time; their costs are in no sum any more.
--
-- In:  the time; at most so many.
-- Out: nothing.
DELETE FROM attempts
WHERE ctid = ANY (ARRAY(SELECT ctid FROM attempts WHERE started_at < $1 LIMIT $2))

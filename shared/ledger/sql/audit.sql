-- Acts, newest first.
--
-- Parameters: $1 the earliest begin, $2 actor, $3 command or its first word; NULL means any for $2 and $3. $4 page size.
-- Result:     the columns of audit.
SELECT *
FROM audit
WHERE at >= $1
    AND ($2::text IS NULL OR actor = $2)
    AND ($3::text IS NULL OR command = $3 OR split_part(command, ' ', 1) = $3)
ORDER BY at DESC, act_id DESC
LIMIT $4

-- Reviews, newest first.
--
-- Parameters: $1 review id, $2 state; NULL means any. $3 page size.
-- Result:     the columns of reviews.
SELECT *
FROM reviews
WHERE ($1::text IS NULL OR review_id = $1)
    AND ($2::text IS NULL OR state = $2)
ORDER BY asked_at DESC, review_id DESC
LIMIT $3

-- Records reviews. The end of a review replaces its begin.
--
-- Parameters: one array per column, in the order below. Each (review_id, asked_at) at most once.
-- Result:     none.
INSERT INTO reviews (
    review_id, asked_at, chain_id, step, asks, question, artefact, deadline, by_default, state, decided_at, decided_by,
    comment
)
SELECT *
FROM unnest(
    $1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[],
    $9::text[], $10::text[], $11::timestamptz[], $12::text[], $13::text[]
)
ON CONFLICT (review_id, asked_at) DO UPDATE SET
    state = excluded.state,
    decided_at = excluded.decided_at,
    decided_by = excluded.decided_by,
    comment = excluded.comment
WHERE reviews.state = 'awaiting'

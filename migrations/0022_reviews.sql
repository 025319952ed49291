-- Reviews: one row per question that a step asked a person.
CREATE TABLE reviews (
    -- The job of the step. A job that is replayed asks again, so the time is part of the key.
    review_id  text COLLATE "C" NOT NULL,
    asked_at   timestamptz NOT NULL,
    chain_id   text COLLATE "C" NOT NULL,
    step       text COLLATE "C" NOT NULL,
    -- Who was meant.
    asks       text,
    question   text NOT NULL,
    artefact   text,
    -- When the default decides.
    deadline   timestamptz,
    by_default text,
    -- awaiting, approved, edited, rejected or withdrawn.
    state      text COLLATE "C" NOT NULL,
    decided_at timestamptz,
    -- A person, or `deadline`.
    decided_by text,
    comment    text,
    PRIMARY KEY (review_id, asked_at)
);
CREATE INDEX reviews_by_time ON reviews (asked_at);

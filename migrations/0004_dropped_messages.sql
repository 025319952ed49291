-- Messages that were dropped because another with their id or key came first.
CREATE TABLE dropped_messages (
    place  text COLLATE "C" PRIMARY KEY,
    job_id text COLLATE "C" NOT NULL,
    at     timestamptz NOT NULL
);

CREATE INDEX dropped_messages_of_job ON dropped_messages (job_id);

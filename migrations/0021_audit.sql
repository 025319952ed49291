-- The audit: one row per act of a person that changes something.
CREATE TABLE audit (
    act_id   uuid PRIMARY KEY,
    -- When it began.
    at       timestamptz NOT NULL,
    -- user@host, or what LONGSHORE_ACTOR says.
    actor    text COLLATE "C" NOT NULL,
    -- The words of the command.
    command  text COLLATE "C" NOT NULL,
    -- The ids and filters that it was given.
    what     text NOT NULL,
    -- How many things it changed; NULL until it has ended.
    affected bigint,
    -- begun, done, refused or failed.
    outcome  text COLLATE "C" NOT NULL,
    error    text
);
CREATE INDEX audit_by_time ON audit (at);

-- Dead letters, one row for each time that a message became one.
CREATE TABLE dead_letters (
    id          text COLLATE "C" NOT NULL,
    at          timestamptz NOT NULL,
    place       text COLLATE "C" NOT NULL,
    queue       text NOT NULL,
    reason      text NOT NULL,
    error       text NOT NULL,
    task_type   text,
    platform    text,
    tenant      text,
    chain_id    text,
    attempts    integer NOT NULL,
    -- The whole letter, byte for byte as Redis held it, once it was taken out of there.
    letter      text,
    archived_at timestamptz,
    PRIMARY KEY (id, at)
);

-- What became of them. A table of its own, because a letter may be gone before the event that
-- tells of it is recorded.
CREATE TABLE dead_letter_ends (
    id         text COLLATE "C" NOT NULL,
    at         timestamptz NOT NULL,
    resolution text NOT NULL,
    gone_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, at)
);

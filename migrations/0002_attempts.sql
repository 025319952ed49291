-- Attempts, one row for each call to a provider: the books.
--
-- Labels of the job are repeated, so that no question about money needs a join, and an attempt
-- counts even if its job's row is not there (yet).
CREATE TABLE attempts (
    attempt_id            uuid PRIMARY KEY,
    -- What is known of the call: 2 all, 1 all but it settled nothing, 0 only that it was lost.
    -- More knowledge replaces less; the order of arrival does not matter.
    rank                  smallint NOT NULL,
    job_id                text COLLATE "C" NOT NULL,
    queue                 text NOT NULL,
    task_type             text NOT NULL,
    tenant                text COLLATE "C",
    chain_id              text COLLATE "C",
    parent_id             text COLLATE "C",
    attempt               integer NOT NULL,
    worker                text NOT NULL,
    platform              text NOT NULL,
    model                 text NOT NULL,
    routing_reason        text NOT NULL,
    -- Costs belong to the day that the call began on: known of a lost call too, and never changes.
    started_at            timestamptz NOT NULL,
    finished_at           timestamptz,
    outcome               text NOT NULL,
    duplicate             boolean NOT NULL,
    error_class           text,
    error                 text,
    status                integer,
    input_tokens          bigint NOT NULL,
    cached_tokens         bigint NOT NULL,
    cache_write_tokens    bigint NOT NULL,
    cache_write_1h_tokens bigint NOT NULL,
    output_tokens         bigint NOT NULL,
    reasoning_tokens      bigint NOT NULL,
    -- NULL: only the provider knows.
    cost_usd              numeric,
    reserved_usd          numeric NOT NULL,
    response_id           text,
    traceparent           text
);

CREATE INDEX attempts_of_job ON attempts (job_id);
CREATE INDEX attempts_by_time ON attempts (started_at);
CREATE INDEX attempts_of_chain ON attempts (chain_id) WHERE chain_id IS NOT NULL;

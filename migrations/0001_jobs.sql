-- Jobs, one row each: the job as its newest recorded event describes it.
--
-- Ids are compared byte by byte: they are ASCII, and an index must not depend on a locale.
CREATE TABLE jobs (
    job_id        text COLLATE "C" PRIMARY KEY,
    -- The event that the row comes from (milliseconds << 20 | sequence): a newer one wins.
    version       bigint NOT NULL,
    queue         text NOT NULL,
    task_type     text NOT NULL,
    tenant        text COLLATE "C",
    chain_id      text COLLATE "C",
    parent_id     text COLLATE "C",
    state         text COLLATE "C" NOT NULL,
    enqueued_at   timestamptz NOT NULL,
    started_at    timestamptz,
    finished_at   timestamptz,
    due_at        timestamptz,
    platform      text,
    model         text,
    attempts      integer NOT NULL,
    prompt_head   text NOT NULL,
    output        text,
    finish_reason text,
    error         text,
    error_class   text,
    metadata      jsonb,
    traceparent   text
);

-- The newest first. Nearly all rows are of completed jobs, so this serves them as well.
CREATE INDEX jobs_newest ON jobs (enqueued_at);
-- What is under way, and what went wrong: few rows among many, found without the many.
CREATE INDEX jobs_not_completed ON jobs (state, enqueued_at) WHERE state <> 'completed';
CREATE INDEX jobs_of_chain ON jobs (chain_id) WHERE chain_id IS NOT NULL;
CREATE INDEX jobs_of_tenant ON jobs (tenant, enqueued_at) WHERE tenant IS NOT NULL;
-- Rows lie on the disk nearly in the order they end in: a few bytes a megabyte are enough.
CREATE INDEX jobs_finished ON jobs USING brin (finished_at);

-- Chains, one row each: the chain as its newest recorded event describes it. Figures are sums over attempts.
CREATE TABLE chains (
    chain_id text COLLATE "C" PRIMARY KEY,
    -- The event that the row comes from (milliseconds << 20 | sequence): a newer one wins.
    version  bigint NOT NULL,
    name     text COLLATE "C",
    -- chain (a document of steps) or batch.
    kind     text COLLATE "C" NOT NULL,
    state    text COLLATE "C" NOT NULL,
    -- Steps; of a batch the tasks.
    steps    bigint NOT NULL,
    begun_at timestamptz NOT NULL,
    ended_at timestamptz
);

-- The newest first, page by page.
CREATE INDEX chains_newest ON chains (begun_at, chain_id);
-- What is under way, and what went wrong: few rows among many, found without the many.
CREATE INDEX chains_not_completed ON chains (state, begun_at) WHERE state <> 'completed';
CREATE INDEX chains_of_name ON chains (name, begun_at) WHERE name IS NOT NULL;

-- What a job runs of its chain: STEP or STEP/INDEX. Money is asked of attempts alone, so they have it too.
ALTER TABLE jobs ADD COLUMN step text COLLATE "C";
ALTER TABLE attempts ADD COLUMN step text COLLATE "C";

-- A chain's jobs, page by page; in the place of an index of the chain alone.
CREATE INDEX jobs_of_chain_in_order ON jobs (chain_id, job_id) WHERE chain_id IS NOT NULL;
DROP INDEX jobs_of_chain;

-- The tables of the ledger: what all migrations add up to. For readers; no program runs this file.
--
-- Written by `make schema`. Change the tables with a new migration.

CREATE TABLE alerts (
    meter text COLLATE "C" NOT NULL,
    start_at timestamp with time zone NOT NULL,
    threshold smallint NOT NULL,
    end_at timestamp with time zone,
    unit text NOT NULL,
    used bigint NOT NULL,
    allowed bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    CONSTRAINT alerts_pkey PRIMARY KEY (meter, start_at, threshold)
);

CREATE TABLE attempts (
    attempt_id uuid NOT NULL,
    rank smallint NOT NULL,
    job_id text COLLATE "C" NOT NULL,
    queue text NOT NULL,
    task_type text NOT NULL,
    tenant text COLLATE "C",
    chain_id text COLLATE "C",
    parent_id text COLLATE "C",
    attempt integer NOT NULL,
    worker text NOT NULL,
    platform text NOT NULL,
    model text NOT NULL,
    routing_reason text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    outcome text NOT NULL,
    duplicate boolean NOT NULL,
    error_class text,
    error text,
    status integer,
    input_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    cache_write_1h_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost_usd numeric,
    reserved_usd numeric NOT NULL,
    response_id text,
    traceparent text,
    decision jsonb,
    reported_cost_usd numeric,
    tokens_estimated bigint,
    step text COLLATE "C",
    usage_estimated boolean DEFAULT false NOT NULL,
    CONSTRAINT attempts_pkey PRIMARY KEY (attempt_id)
);
CREATE INDEX attempts_by_time ON attempts USING btree (started_at);
CREATE INDEX attempts_of_chain ON attempts USING btree (chain_id) WHERE chain_id IS NOT NULL;
CREATE INDEX attempts_of_job ON attempts USING btree (job_id);

CREATE TABLE chains (
    chain_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    name text COLLATE "C",
    kind text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    steps bigint NOT NULL,
    begun_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT chains_pkey PRIMARY KEY (chain_id)
);
CREATE INDEX chains_newest ON chains USING btree (begun_at, chain_id);
CREATE INDEX chains_not_completed ON chains USING btree (state, begun_at) WHERE state <> 'completed'::text;
CREATE INDEX chains_of_name ON chains USING btree (name, begun_at) WHERE name IS NOT NULL;

CREATE TABLE dead_letter_ends (
    id text COLLATE "C" NOT NULL,
    at timestamp with time zone NOT NULL,
    resolution text NOT NULL,
    gone_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT dead_letter_ends_pkey PRIMARY KEY (id, at)
);
CREATE INDEX dead_letter_ends_by_time ON dead_letter_ends USING brin (gone_at);

CREATE TABLE dead_letters (
    id text COLLATE "C" NOT NULL,
    at timestamp with time zone NOT NULL,
    place text COLLATE "C" NOT NULL,
    queue text NOT NULL,
    reason text NOT NULL,
    error text NOT NULL,
    task_type text,
    platform text,
    tenant text,
    chain_id text,
    attempts integer NOT NULL,
    letter text,
    archived_at timestamp with time zone,
    CONSTRAINT dead_letters_pkey PRIMARY KEY (id, at)
);

CREATE TABLE dropped_messages (
    place text COLLATE "C" NOT NULL,
    job_id text COLLATE "C" NOT NULL,
    at timestamp with time zone NOT NULL,
    CONSTRAINT dropped_messages_pkey PRIMARY KEY (place)
);
CREATE INDEX dropped_messages_by_time ON dropped_messages USING brin (at);
CREATE INDEX dropped_messages_of_job ON dropped_messages USING btree (job_id);

CREATE TABLE jobs (
    job_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    queue text NOT NULL,
    task_type text NOT NULL,
    tenant text COLLATE "C",
    chain_id text COLLATE "C",
    parent_id text COLLATE "C",
    state text COLLATE "C" NOT NULL,
    enqueued_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    due_at timestamp with time zone,
    platform text,
    model text,
    attempts integer NOT NULL,
    prompt_head text NOT NULL,
    output text,
    finish_reason text,
    error text,
    error_class text,
    metadata jsonb,
    traceparent text,
    step text COLLATE "C",
    CONSTRAINT jobs_pkey PRIMARY KEY (job_id)
);
CREATE INDEX jobs_finished ON jobs USING brin (finished_at);
CREATE INDEX jobs_newest ON jobs USING btree (enqueued_at);
CREATE INDEX jobs_not_completed ON jobs USING btree (state, enqueued_at) WHERE state <> 'completed'::text;
CREATE INDEX jobs_of_chain_in_order ON jobs USING btree (chain_id, job_id) WHERE chain_id IS NOT NULL;
CREATE INDEX jobs_of_tenant ON jobs USING btree (tenant, enqueued_at) WHERE tenant IS NOT NULL;

CREATE TABLE quota_windows (
    meter text COLLATE "C" NOT NULL,
    start_at timestamp with time zone NOT NULL,
    end_at timestamp with time zone NOT NULL,
    unit text NOT NULL,
    used bigint NOT NULL,
    allowed bigint NOT NULL,
    closed_at timestamp with time zone NOT NULL,
    CONSTRAINT quota_windows_pkey PRIMARY KEY (meter, start_at)
);

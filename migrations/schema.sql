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

CREATE TABLE attempt_split (
    singleton boolean DEFAULT true NOT NULL,
    from_id uuid,
    to_id uuid NOT NULL,
    CONSTRAINT attempt_split_pkey PRIMARY KEY (singleton),
    CONSTRAINT attempt_split_singleton_check CHECK (singleton)
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
) PARTITION BY RANGE (attempt_id);
CREATE INDEX attempts_by_time ON ONLY attempts USING btree (started_at);
CREATE INDEX attempts_failed ON ONLY attempts USING btree (started_at) WHERE outcome = ANY (ARRAY['failed'::text, 'lost'::text]);
CREATE INDEX attempts_of_chain ON ONLY attempts USING btree (chain_id) WHERE chain_id IS NOT NULL;
CREATE INDEX attempts_of_job ON ONLY attempts USING btree (job_id);

CREATE TABLE audit (
    act_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    actor text COLLATE "C" NOT NULL,
    command text COLLATE "C" NOT NULL,
    what text NOT NULL,
    affected bigint,
    outcome text COLLATE "C" NOT NULL,
    error text,
    CONSTRAINT audit_pkey PRIMARY KEY (act_id)
);
CREATE INDEX audit_by_time ON audit USING btree (at);

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

CREATE TABLE cost_totals (
    period text COLLATE "C" NOT NULL,
    start_at timestamp with time zone NOT NULL,
    platform text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    task_type text COLLATE "C" NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    jobs bigint NOT NULL,
    jobs_on_platform bigint NOT NULL,
    jobs_with_model bigint NOT NULL,
    jobs_of_type bigint NOT NULL,
    attempts bigint NOT NULL,
    failed_attempts bigint NOT NULL,
    cancelled_attempts bigint NOT NULL,
    lost_attempts bigint NOT NULL,
    cost_usd numeric NOT NULL,
    unknown_cost_attempts bigint NOT NULL,
    reserved_unknown_usd numeric NOT NULL,
    reported_attempts bigint NOT NULL,
    reported_usd numeric NOT NULL,
    reported_difference_usd numeric NOT NULL,
    CONSTRAINT cost_totals_pkey PRIMARY KEY (period, start_at, platform, model, task_type, tenant)
);

CREATE TABLE cost_totals_range (
    singleton boolean DEFAULT true NOT NULL,
    complete_from timestamp with time zone NOT NULL,
    pruned_before timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT cost_totals_range_pkey PRIMARY KEY (singleton),
    CONSTRAINT cost_totals_range_singleton_check CHECK (singleton)
);

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
    warnings jsonb,
    tool_calls jsonb,
    tools jsonb,
    CONSTRAINT jobs_pkey PRIMARY KEY (job_id)
);
CREATE INDEX jobs_by_label ON jobs USING brin (task_type text_bloom_ops (n_distinct_per_range='16'), queue text_bloom_ops (n_distinct_per_range='16'), platform text_bloom_ops (n_distinct_per_range='16')) WITH (pages_per_range='8', autosummarize=off);
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

CREATE TABLE reviews (
    review_id text COLLATE "C" NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    chain_id text COLLATE "C" NOT NULL,
    step text COLLATE "C" NOT NULL,
    asks text,
    question text NOT NULL,
    artefact text,
    deadline timestamp with time zone,
    by_default text,
    state text COLLATE "C" NOT NULL,
    decided_at timestamp with time zone,
    decided_by text,
    comment text,
    CONSTRAINT reviews_pkey PRIMARY KEY (review_id, asked_at)
);
CREATE INDEX reviews_by_time ON reviews USING btree (asked_at);

CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;

CREATE VIEW attempt_figures AS
 SELECT attempts.attempt_id,
    attempts.started_at,
    "left"(attempts.platform, 128) COLLATE "C" AS platform,
    "left"(attempts.model, 128) COLLATE "C" AS model,
    "left"(attempts.task_type, 128) COLLATE "C" AS task_type,
    COALESCE("left"(attempts.tenant, 128), ''::text) COLLATE "C" AS tenant,
    (NOT earlier.repeats)::integer AS jobs,
    (NOT (earlier.repeats AND (EXISTS ( SELECT
           FROM attempts other
          WHERE other.job_id = attempts.job_id AND other.platform = attempts.platform AND other.attempt_id >= month.first_id AND (other.attempt_id < month.last_id OR other.attempt_id = month.last_id) AND ((ROW(other.started_at, other.attempt_id) < ROW(attempts.started_at, attempts.attempt_id)))))))::integer AS jobs_on_platform,
    (NOT (earlier.repeats AND (EXISTS ( SELECT
           FROM attempts other
          WHERE other.job_id = attempts.job_id AND other.model = attempts.model AND other.attempt_id >= month.first_id AND (other.attempt_id < month.last_id OR other.attempt_id = month.last_id) AND ((ROW(other.started_at, other.attempt_id) < ROW(attempts.started_at, attempts.attempt_id)))))))::integer AS jobs_with_model,
    (NOT (earlier.repeats AND (EXISTS ( SELECT
           FROM attempts other
          WHERE other.job_id = attempts.job_id AND other.task_type = attempts.task_type AND other.attempt_id >= month.first_id AND (other.attempt_id < month.last_id OR other.attempt_id = month.last_id) AND ((ROW(other.started_at, other.attempt_id) < ROW(attempts.started_at, attempts.attempt_id)))))))::integer AS jobs_of_type,
    1 AS attempts,
    (attempts.outcome = 'failed'::text)::integer AS failed_attempts,
    (attempts.outcome = 'cancelled'::text)::integer AS cancelled_attempts,
    (attempts.outcome = 'lost'::text)::integer AS lost_attempts,
    COALESCE(attempts.cost_usd, 0::numeric) AS cost_usd,
    (attempts.cost_usd IS NULL)::integer AS unknown_cost_attempts,
        CASE
            WHEN attempts.cost_usd IS NULL THEN attempts.reserved_usd
            ELSE 0::numeric
        END AS reserved_unknown_usd,
    (attempts.reported_cost_usd IS NOT NULL)::integer AS reported_attempts,
    COALESCE(attempts.reported_cost_usd, 0::numeric) AS reported_usd,
    COALESCE(attempts.reported_cost_usd - attempts.cost_usd, 0::numeric) AS reported_difference_usd
   FROM attempts
     CROSS JOIN LATERAL ( SELECT attempt_month.first_id,
            attempt_month.last_id
           FROM attempt_month(attempts.attempt_id) attempt_month(first_id, last_id)
         OFFSET 0) month
     CROSS JOIN LATERAL ( SELECT (EXISTS ( SELECT
                   FROM attempts other
                  WHERE other.job_id = attempts.job_id AND other.attempt_id >= month.first_id AND (other.attempt_id < month.last_id OR other.attempt_id = month.last_id) AND ((ROW(other.started_at, other.attempt_id) < ROW(attempts.started_at, attempts.attempt_id))))) AS repeats
         OFFSET 0) earlier;

CREATE VIEW attempt_partitions AS
 SELECT partitions.name,
    partitions.is_default,
    (regexp_match(partitions.bounds, 'FROM \(''([0-9a-f-]+)''\)'::text))[1]::uuid AS from_id,
    (regexp_match(partitions.bounds, 'TO \(''([0-9a-f-]+)''\)'::text))[1]::uuid AS to_id
   FROM ( SELECT pg_class.relname AS name,
            bounds.bounds = 'DEFAULT'::text AS is_default,
            bounds.bounds
           FROM pg_inherits
             JOIN pg_class ON pg_class.oid = pg_inherits.inhrelid
             CROSS JOIN LATERAL pg_get_expr(pg_class.relpartbound, pg_class.oid) bounds(bounds)
          WHERE pg_inherits.inhparent = 'attempts'::regclass::oid) partitions;

CREATE OR REPLACE FUNCTION public.add_to_cost_totals(changes cost_totals[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO cost_totals AS total
    SELECT
        periods.period,
        date_bin(periods.width, change.start_at, timestamptz 'epoch') AS start_at,
        change.platform, change.model, change.task_type, change.tenant,
        sum(change.jobs), sum(change.jobs_on_platform), sum(change.jobs_with_model), sum(change.jobs_of_type),
        sum(change.attempts), sum(change.failed_attempts), sum(change.cancelled_attempts), sum(change.lost_attempts),
        sum(change.cost_usd), sum(change.unknown_cost_attempts), sum(change.reserved_unknown_usd),
        sum(change.reported_attempts), sum(change.reported_usd), sum(change.reported_difference_usd)
    FROM unnest(changes) AS change
    CROSS JOIN (VALUES ('hour', interval '1 hour'), ('day', interval '1 day')) AS periods (period, width)
    WHERE change.period = 'hour' OR periods.period = 'day'
    GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (period, start_at, platform, model, task_type, tenant) DO UPDATE SET (
        jobs, jobs_on_platform, jobs_with_model, jobs_of_type,
        attempts, failed_attempts, cancelled_attempts, lost_attempts,
        cost_usd, unknown_cost_attempts, reserved_unknown_usd,
        reported_attempts, reported_usd, reported_difference_usd
    ) = (
        total.jobs + excluded.jobs, total.jobs_on_platform + excluded.jobs_on_platform,
        total.jobs_with_model + excluded.jobs_with_model, total.jobs_of_type + excluded.jobs_of_type,
        total.attempts + excluded.attempts, total.failed_attempts + excluded.failed_attempts,
        total.cancelled_attempts + excluded.cancelled_attempts, total.lost_attempts + excluded.lost_attempts,
        total.cost_usd + excluded.cost_usd, total.unknown_cost_attempts + excluded.unknown_cost_attempts,
        total.reserved_unknown_usd + excluded.reserved_unknown_usd,
        total.reported_attempts + excluded.reported_attempts, total.reported_usd + excluded.reported_usd,
        total.reported_difference_usd + excluded.reported_difference_usd
    );
END
$function$

CREATE OR REPLACE FUNCTION public.attempt_id_at(at timestamp with time zone)
 RETURNS uuid
 LANGUAGE sql
 IMMUTABLE
RETURN ((lpad(to_hex((GREATEST((0)::numeric, LEAST(('281474976710655'::bigint)::numeric, floor((EXTRACT(epoch FROM at) * (1000)::numeric)))))::bigint), 12, '0'::text) || '00000000000000000000'::text))::uuid

CREATE OR REPLACE FUNCTION public.attempt_id_time(id uuid)
 RETURNS timestamp with time zone
 LANGUAGE sql
 IMMUTABLE
RETURN to_timestamp((((((('x'::text || "left"(replace((id)::text, '-'::text, ''::text), 12)))::bit(48))::bigint)::numeric / 1000.0))::double precision)

CREATE OR REPLACE FUNCTION public.attempt_month(id uuid)
 RETURNS TABLE(first_id uuid, last_id uuid)
 LANGUAGE sql
 STABLE
AS $function$
    SELECT
        (lpad(to_hex((date_part('epoch', month) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid,
        (
            lpad(
                to_hex(least((date_part('epoch', month + interval '1 month') * 1000)::bigint - 1, 281474976710655)),
                12, '0'
            ) || 'ffffffffffffffffffff'
        )::uuid
    FROM (
        SELECT date_trunc(
            'month',
            timestamp 'epoch'
                + ('x' || left(id::text, 8) || substr(id::text, 10, 4))::bit(48)::bigint * interval '1 millisecond'
        ) AS month
        OFFSET 0
    ) AS months
$function$

CREATE OR REPLACE FUNCTION public.begin_attempt_split(to_at timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET lock_timeout TO '2s'
AS $function$
DECLARE
    -- The end of the newest partition.
    from_id uuid := (
        SELECT partition.to_id FROM attempt_partitions AS partition
        WHERE NOT is_default ORDER BY partition.to_id DESC LIMIT 1
    );
    to_id uuid := attempt_id_at(to_at);
BEGIN
    INSERT INTO attempt_split (from_id, to_id) VALUES (from_id, to_id);
    CREATE TABLE attempts_next_default (LIKE attempts INCLUDING ALL);
    EXECUTE format(
        'ALTER TABLE attempts_default ADD CONSTRAINT attempts_split CHECK (%s attempt_id < %L) NOT VALID',
        CASE WHEN from_id IS NULL THEN '' ELSE format('attempt_id >= %L AND', from_id) END,
        to_id
    );
END
$function$

CREATE OR REPLACE FUNCTION public.cost_total_differences(from_hour timestamp with time zone, to_hour timestamp with time zone)
 RETURNS SETOF cost_totals
 LANGUAGE sql
 STABLE
AS $function$
    WITH expected AS (
        SELECT
            'hour' AS period, date_bin('1 hour', started_at, timestamptz 'epoch') AS start_at,
            platform, model, task_type, tenant,
            jobs, jobs_on_platform, jobs_with_model, jobs_of_type,
            attempts, failed_attempts, cancelled_attempts, lost_attempts,
            cost_usd, unknown_cost_attempts, reserved_unknown_usd,
            reported_attempts, reported_usd, reported_difference_usd
        FROM attempt_figures
        WHERE started_at >= from_hour AND started_at < to_hour
        UNION ALL
        SELECT
            'day', date_bin('1 day', start_at, timestamptz 'epoch'),
            platform, model, task_type, tenant,
            jobs, jobs_on_platform, jobs_with_model, jobs_of_type,
            attempts, failed_attempts, cancelled_attempts, lost_attempts,
            cost_usd, unknown_cost_attempts, reserved_unknown_usd,
            reported_attempts, reported_usd, reported_difference_usd
        FROM cost_totals
        WHERE period = 'hour'
            AND start_at >= date_bin('1 day', from_hour + interval '23 hours', timestamptz 'epoch')
            AND start_at < date_bin('1 day', to_hour, timestamptz 'epoch')
    ),
    found AS (
        SELECT *
        FROM cost_totals
        WHERE (period = 'hour' AND start_at >= from_hour AND start_at < to_hour)
            OR (
                period = 'day'
                AND start_at >= date_bin('1 day', from_hour + interval '23 hours', timestamptz 'epoch')
                AND start_at < date_bin('1 day', to_hour, timestamptz 'epoch')
            )
    ),
    sides AS (
        SELECT 1 AS sign, * FROM expected
        UNION ALL
        SELECT -1, * FROM found
    ),
    differences AS (
        SELECT
            period COLLATE "C", start_at, platform, model, task_type, tenant,
            sum(sign * jobs)::bigint AS jobs,
            sum(sign * jobs_on_platform)::bigint AS jobs_on_platform,
            sum(sign * jobs_with_model)::bigint AS jobs_with_model,
            sum(sign * jobs_of_type)::bigint AS jobs_of_type,
            sum(sign * attempts)::bigint AS attempts,
            sum(sign * failed_attempts)::bigint AS failed_attempts,
            sum(sign * cancelled_attempts)::bigint AS cancelled_attempts,
            sum(sign * lost_attempts)::bigint AS lost_attempts,
            sum(sign * cost_usd) AS cost_usd,
            sum(sign * unknown_cost_attempts)::bigint AS unknown_cost_attempts,
            sum(sign * reserved_unknown_usd) AS reserved_unknown_usd,
            sum(sign * reported_attempts)::bigint AS reported_attempts,
            sum(sign * reported_usd) AS reported_usd,
            sum(sign * reported_difference_usd) AS reported_difference_usd
        FROM sides
        GROUP BY 1, 2, 3, 4, 5, 6
    )
    SELECT *
    FROM differences
    WHERE (
        jobs, jobs_on_platform, jobs_with_model, jobs_of_type,
        attempts, failed_attempts, cancelled_attempts, lost_attempts,
        cost_usd, unknown_cost_attempts, reserved_unknown_usd,
        reported_attempts, reported_usd, reported_difference_usd
    ) <> (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
$function$

CREATE OR REPLACE FUNCTION public.create_attempt_partition(month timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET lock_timeout TO '2s'
AS $function$
DECLARE
    month_name text := to_char(month AT TIME ZONE 'UTC', '"attempts_"YYYY_MM');
    from_id uuid := attempt_id_at(month);
    to_id uuid := attempt_id_at((month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
BEGIN
    IF EXISTS (SELECT FROM attempt_partitions WHERE name = month_name) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE attempts INCLUDING ALL)', month_name);
    LOCK TABLE ONLY attempts IN SHARE UPDATE EXCLUSIVE MODE;
    LOCK TABLE attempts_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format(
        'WITH moved AS (DELETE FROM attempts_default WHERE attempt_id >= $1 AND attempt_id < $2 RETURNING *)
        INSERT INTO %I SELECT * FROM moved',
        month_name
    ) USING from_id, to_id;
    EXECUTE format(
        'ALTER TABLE attempts ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', month_name, from_id, to_id
    );
END
$function$

CREATE OR REPLACE FUNCTION public.delete_old_attempts(before timestamp with time zone, span interval, max_rows bigint)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    partition record;
    deleted bigint := 0;
    deleted_here bigint;
BEGIN
    FOR partition IN
        SELECT name
        FROM attempt_partitions
        WHERE is_default OR from_id IS NULL OR attempt_id_time(to_id) - attempt_id_time(from_id) > span
        ORDER BY is_default, to_id
    LOOP
        EXECUTE format(
            'DELETE FROM %1$I WHERE ctid = ANY (ARRAY(
                SELECT ctid
                FROM %1$I
                WHERE started_at < $1 AND started_at >= (SELECT complete_from FROM cost_totals_range)
                LIMIT $2
            ))',
            partition.name
        ) USING before, max_rows - deleted;
        GET DIAGNOSTICS deleted_here = ROW_COUNT;
        deleted := deleted + deleted_here;
        EXIT WHEN deleted >= max_rows;
    END LOOP;
    RETURN deleted;
END
$function$

CREATE OR REPLACE FUNCTION public.drop_attempt_partition(before timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
 SET lock_timeout TO '2s'
AS $function$
DECLARE
    partition record;
    has_others boolean;
BEGIN
    FOR partition IN
        SELECT name FROM attempt_partitions WHERE to_id <= attempt_id_at(before) ORDER BY to_id
    LOOP
        -- An attempt that is recorded late must not be dropped with the others. The lowest and the highest time are at the
        -- ends of an index, so others wait for milliseconds.
        LOCK TABLE ONLY attempts IN ACCESS EXCLUSIVE MODE;
        EXECUTE format(
            'SELECT max(started_at) >= $1 OR min(started_at) < (SELECT complete_from FROM cost_totals_range) FROM %I',
            partition.name
        ) INTO has_others USING before;
        CONTINUE WHEN has_others;
        EXECUTE format('DROP TABLE %I', partition.name);
        RETURN partition.name;
    END LOOP;
    RETURN NULL;
END
$function$

CREATE OR REPLACE FUNCTION public.finish_attempt_split()
 RETURNS void
 LANGUAGE plpgsql
 SET lock_timeout TO '2s'
AS $function$
DECLARE
    split attempt_split;
    name text;
BEGIN
    LOCK TABLE ONLY attempts IN ACCESS EXCLUSIVE MODE;
    DELETE FROM attempt_split RETURNING * INTO split;
    name := to_char(attempt_id_time(split.to_id) AT TIME ZONE 'UTC', '"attempts_until_"YYYY_MM');
    ALTER TABLE attempts DETACH PARTITION attempts_default;
    EXECUTE format('ALTER TABLE attempts_default RENAME TO %I', name);
    EXECUTE format(
        'ALTER TABLE attempts ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%L)',
        name, coalesce(quote_literal(split.from_id), 'MINVALUE'), split.to_id
    );
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT attempts_split', name);
    ALTER TABLE attempts_next_default RENAME TO attempts_default;
    ALTER TABLE attempts ATTACH PARTITION attempts_default DEFAULT;
END
$function$

CREATE OR REPLACE FUNCTION public.lock_cost_totals()
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM pg_advisory_xact_lock(7310583284156112947);
END
$function$

CREATE OR REPLACE FUNCTION public.move_attempts_outside_split(max_rows integer)
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
DECLARE
    moved_rows integer;
BEGIN
    WITH outside AS (
        SELECT attempts_default.attempt_id
        FROM attempt_split
        JOIN attempts_default ON attempts_default.attempt_id < attempt_split.from_id
        UNION ALL
        SELECT attempts_default.attempt_id
        FROM attempt_split
        JOIN attempts_default ON attempts_default.attempt_id >= attempt_split.to_id
        LIMIT max_rows
    ),
    moved AS (
        DELETE FROM attempts_default USING outside
        WHERE attempts_default.attempt_id = outside.attempt_id
        RETURNING attempts_default.*
    )
    INSERT INTO attempts_next_default SELECT * FROM moved;
    GET DIAGNOSTICS moved_rows = ROW_COUNT;
    RETURN moved_rows;
END
$function$

CREATE OR REPLACE FUNCTION public.refuse_ctid_of_attempts()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF current_query() ~* '\mctid\M' THEN
        RAISE EXCEPTION 'attempts is partitioned: a ctid may name rows of several partitions'
            USING HINT = 'upgrade all schedulers';
    END IF;
    RETURN NULL;
END
$function$

CREATE OR REPLACE FUNCTION public.total_inserted_attempts()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    changes cost_totals[];
    some_id uuid;
    month record;
    repeated uuid[];
BEGIN
    SELECT attempt_id INTO some_id FROM inserted ORDER BY attempt_id LIMIT 1;
    IF some_id IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM lock_cost_totals();

    SELECT array_agg(ROW(
        'hour', start_at, left(platform, 128), left(model, 128), left(task_type, 128), coalesce(left(tenant, 128), ''),
        attempts, attempts, attempts, attempts, attempts, failed, cancelled, lost,
        coalesce(cost_usd, 0), attempts - known, coalesce(reserved_usd, 0) - coalesce(reserved_known_usd, 0),
        reported, coalesce(reported_usd, 0), coalesce(difference_usd, 0)
    )::cost_totals)
    INTO changes
    FROM (
        SELECT
            date_bin('1 hour', started_at, timestamptz 'epoch') AS start_at, platform, model, task_type, tenant,
            count(*) AS attempts,
            count(*) FILTER (WHERE outcome = 'failed') AS failed,
            count(*) FILTER (WHERE outcome = 'cancelled') AS cancelled,
            count(*) FILTER (WHERE outcome = 'lost') AS lost,
            sum(cost_usd) AS cost_usd,
            count(cost_usd) AS known,
            sum(reserved_usd) AS reserved_usd,
            sum(reserved_usd) FILTER (WHERE cost_usd IS NOT NULL) AS reserved_known_usd,
            count(reported_cost_usd) AS reported,
            sum(reported_cost_usd) AS reported_usd,
            sum(reported_cost_usd - cost_usd) AS difference_usd
        FROM inserted
        GROUP BY 1, platform, model, task_type, tenant
    ) AS groups;

    -- The calls of a batch are of one month, or two.
    WHILE some_id IS NOT NULL LOOP
        SELECT first_id, last_id INTO month FROM attempt_month(some_id);

        SELECT array_agg(inserted.attempt_id)
        INTO repeated
        FROM inserted
        CROSS JOIN LATERAL (
            SELECT
            FROM attempts
            WHERE attempts.job_id = inserted.job_id
                AND attempts.attempt_id >= month.first_id
                AND (attempts.attempt_id < month.last_id OR attempts.attempt_id = month.last_id)
                AND attempts.attempt_id <> inserted.attempt_id
            LIMIT 1
        ) AS others
        WHERE inserted.attempt_id BETWEEN month.first_id AND month.last_id;
        IF repeated IS NOT NULL THEN
            SELECT changes || array_agg(ROW(
                'hour', date_bin('1 hour', not_first.started_at, timestamptz 'epoch'),
                left(not_first.platform, 128), left(not_first.model, 128), left(not_first.task_type, 128),
                coalesce(left(not_first.tenant, 128), ''),
                CASE WHEN same = 'job' THEN -1 ELSE 0 END,
                CASE WHEN same = 'platform' THEN -1 ELSE 0 END,
                CASE WHEN same = 'model' THEN -1 ELSE 0 END,
                CASE WHEN same = 'type' THEN -1 ELSE 0 END,
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0
            )::cost_totals)
            INTO changes
            FROM inserted AS call
            CROSS JOIN (VALUES ('job'), ('platform'), ('model'), ('type')) AS of (same)
            CROSS JOIN LATERAL (
                SELECT EXISTS (
                    SELECT
                    FROM attempts AS other
                    WHERE other.job_id = call.job_id
                        AND other.attempt_id >= month.first_id
                        AND (other.attempt_id < month.last_id OR other.attempt_id = month.last_id)
                        AND (same <> 'platform' OR other.platform = call.platform)
                        AND (same <> 'model' OR other.model = call.model)
                        AND (same <> 'type' OR other.task_type = call.task_type)
                        AND (other.started_at, other.attempt_id) < (call.started_at, call.attempt_id)
                ) AS repeats
                OFFSET 0
            ) AS earlier
            CROSS JOIN LATERAL (
                SELECT call.started_at, call.platform, call.model, call.task_type, call.tenant
                WHERE repeats
                UNION ALL
                (
                    SELECT other.started_at, other.platform, other.model, other.task_type, other.tenant
                    FROM attempts AS other
                    WHERE NOT repeats
                        AND other.job_id = call.job_id
                        AND other.attempt_id >= month.first_id
                        AND (other.attempt_id < month.last_id OR other.attempt_id = month.last_id)
                        AND (same <> 'platform' OR other.platform = call.platform)
                        AND (same <> 'model' OR other.model = call.model)
                        AND (same <> 'type' OR other.task_type = call.task_type)
                        AND other.attempt_id NOT IN (SELECT attempt_id FROM inserted)
                    ORDER BY other.started_at, other.attempt_id
                    LIMIT 1
                )
            ) AS not_first
            WHERE call.attempt_id = ANY (repeated);
        END IF;

        SELECT (
            SELECT attempt_id FROM inserted WHERE attempt_id > month.last_id ORDER BY attempt_id LIMIT 1
        ) INTO some_id;
    END LOOP;

    PERFORM add_to_cost_totals(changes);
    RETURN NULL;
END
$function$

CREATE OR REPLACE FUNCTION public.total_updated_attempts()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF NOT EXISTS (SELECT FROM updated) THEN
        RETURN NULL;
    END IF;
    PERFORM lock_cost_totals();
    PERFORM add_to_cost_totals(array_agg(ROW(
        'hour', date_bin('1 hour', started_at, timestamptz 'epoch'),
        left(platform, 128), left(model, 128), left(task_type, 128), coalesce(left(tenant, 128), ''),
        0, 0, 0, 0,
        sign,
        CASE WHEN outcome = 'failed' THEN sign ELSE 0 END,
        CASE WHEN outcome = 'cancelled' THEN sign ELSE 0 END,
        CASE WHEN outcome = 'lost' THEN sign ELSE 0 END,
        coalesce(sign * cost_usd, 0),
        CASE WHEN cost_usd IS NULL THEN sign ELSE 0 END,
        CASE WHEN cost_usd IS NULL THEN sign * reserved_usd ELSE 0 END,
        CASE WHEN reported_cost_usd IS NULL THEN 0 ELSE sign END,
        coalesce(sign * reported_cost_usd, 0),
        coalesce(sign * (reported_cost_usd - cost_usd), 0)
    )::cost_totals))
    FROM (
        SELECT -1 AS sign, * FROM replaced
        UNION ALL
        SELECT 1, * FROM updated
    ) AS versions;
    RETURN NULL;
END
$function$

CREATE TRIGGER refuse_ctid_of_attempts BEFORE DELETE ON attempts FOR EACH STATEMENT EXECUTE FUNCTION refuse_ctid_of_attempts();

CREATE TRIGGER total_inserted_attempts AFTER INSERT ON attempts REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION total_inserted_attempts();

CREATE TRIGGER total_updated_attempts AFTER UPDATE ON attempts REFERENCING OLD TABLE AS replaced NEW TABLE AS updated FOR EACH STATEMENT EXECUTE FUNCTION total_updated_attempts();

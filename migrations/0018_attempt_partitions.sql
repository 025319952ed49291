-- Attempts in a table for each month, so that retention drops tables instead of deleting rows.
--
-- The ids of attempts are UUIDs of version 7: their order is their time, so the id alone says where a row is, and stays
-- the primary key. All attempts recorded until now become the default partition, without reading them. The leading
-- scheduler and `longshore migrate` turn it into a partition up to a month, and create the months after it.

-- Readers wait behind whoever waits for this lock. PostgreSQL cancels a vacuum that is in the way after a second. When
-- the time is up, the program tries again.
SET LOCAL lock_timeout = '2s';
LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE;

DROP TRIGGER total_inserted_attempts ON attempts;
DROP TRIGGER total_updated_attempts ON attempts;
ALTER TABLE attempts RENAME TO attempts_default;
ALTER TABLE attempts_default RENAME CONSTRAINT attempts_pkey TO attempts_default_pkey;
ALTER INDEX attempts_of_job RENAME TO attempts_default_of_job;
ALTER INDEX attempts_by_time RENAME TO attempts_default_by_time;
ALTER INDEX attempts_of_chain RENAME TO attempts_default_of_chain;

CREATE TABLE attempts (LIKE attempts_default INCLUDING DEFAULTS, CONSTRAINT attempts_pkey PRIMARY KEY (attempt_id))
PARTITION BY RANGE (attempt_id);
CREATE INDEX attempts_of_job ON attempts (job_id);
CREATE INDEX attempts_by_time ON attempts (started_at);
CREATE INDEX attempts_of_chain ON attempts (chain_id) WHERE chain_id IS NOT NULL;
ALTER TABLE attempts ATTACH PARTITION attempts_default DEFAULT;

-- Who could read or write attempts still can.
DO $$
DECLARE
    permission record;
BEGIN
    FOR permission IN
        SELECT
            acl.privilege_type AS name,
            CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END AS grantee,
            CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS options
        FROM pg_class
        CROSS JOIN LATERAL aclexplode(relacl) AS acl
        WHERE pg_class.oid = 'attempts_default'::regclass AND acl.grantee <> relowner
    LOOP
        EXECUTE format('GRANT %s ON attempts TO %s%s', permission.name, permission.grantee, permission.options);
    END LOOP;
END
$$;

-- The lowest id that an attempt of this time or later has.
CREATE FUNCTION attempt_id_at(at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE
RETURN (
    lpad(to_hex(greatest(0, least(281474976710655, floor(extract(epoch FROM at) * 1000)))::bigint), 12, '0')
        || '00000000000000000000'
)::uuid;

-- The time in the id of an attempt.
CREATE FUNCTION attempt_id_time(id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE
RETURN to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0);

-- The lowest and the highest id of the month (UTC) of an id. Evaluated for each attempt whose figures are read, so it avoids
-- numeric arithmetic.
CREATE FUNCTION attempt_month(id uuid) RETURNS TABLE (first_id uuid, last_id uuid)
LANGUAGE sql STABLE
AS $$
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
$$;

-- What each attempt adds to the totals. A call is the first of its job if no call of the same month was earlier: to know
-- more, each new call would have to be looked up in the attempts of all months.
--
-- The bounds of the month choose the partition. Written as one range they could also choose an index: of a partition
-- without statistics, the planner would then read all ids of the month instead of those of the job.
CREATE OR REPLACE VIEW attempt_figures AS
SELECT
    attempt_id,
    started_at,
    left(platform, 128) COLLATE "C" AS platform,
    left(model, 128) COLLATE "C" AS model,
    left(task_type, 128) COLLATE "C" AS task_type,
    coalesce(left(tenant, 128), '') COLLATE "C" AS tenant,
    (NOT repeats)::integer AS jobs,
    (NOT (repeats AND EXISTS (
        SELECT FROM attempts AS other
        WHERE other.job_id = attempts.job_id AND other.platform = attempts.platform
            AND other.attempt_id >= month.first_id
            AND (other.attempt_id < month.last_id OR other.attempt_id = month.last_id)
            AND (other.started_at, other.attempt_id) < (attempts.started_at, attempts.attempt_id)
    )))::integer AS jobs_on_platform,
    (NOT (repeats AND EXISTS (
        SELECT FROM attempts AS other
        WHERE other.job_id = attempts.job_id AND other.model = attempts.model
            AND other.attempt_id >= month.first_id
            AND (other.attempt_id < month.last_id OR other.attempt_id = month.last_id)
            AND (other.started_at, other.attempt_id) < (attempts.started_at, attempts.attempt_id)
    )))::integer AS jobs_with_model,
    (NOT (repeats AND EXISTS (
        SELECT FROM attempts AS other
        WHERE other.job_id = attempts.job_id AND other.task_type = attempts.task_type
            AND other.attempt_id >= month.first_id
            AND (other.attempt_id < month.last_id OR other.attempt_id = month.last_id)
            AND (other.started_at, other.attempt_id) < (attempts.started_at, attempts.attempt_id)
    )))::integer AS jobs_of_type,
    1 AS attempts,
    (outcome = 'failed')::integer AS failed_attempts,
    (outcome = 'cancelled')::integer AS cancelled_attempts,
    (outcome = 'lost')::integer AS lost_attempts,
    coalesce(cost_usd, 0) AS cost_usd,
    (cost_usd IS NULL)::integer AS unknown_cost_attempts,
    CASE WHEN cost_usd IS NULL THEN reserved_usd ELSE 0 END AS reserved_unknown_usd,
    (reported_cost_usd IS NOT NULL)::integer AS reported_attempts,
    coalesce(reported_cost_usd, 0) AS reported_usd,
    coalesce(reported_cost_usd - cost_usd, 0) AS reported_difference_usd
FROM attempts
CROSS JOIN LATERAL (SELECT first_id, last_id FROM attempt_month(attempts.attempt_id) OFFSET 0) AS month
CROSS JOIN LATERAL (
    SELECT EXISTS (
        SELECT FROM attempts AS other
        WHERE other.job_id = attempts.job_id
            AND other.attempt_id >= month.first_id
            AND (other.attempt_id < month.last_id OR other.attempt_id = month.last_id)
            AND (other.started_at, other.attempt_id) < (attempts.started_at, attempts.attempt_id)
    ) AS repeats
    OFFSET 0
) AS earlier;

-- Nearly every call is the only one of its job, and counts as the first. That is taken back where a job has several in a
-- month: from the new call, if an earlier one is known, or else from the old call that was the first until now. A job may
-- have any number of calls, so none of this reads them all without need. The plans must not depend on the size that the
-- table happened to have when a connection made them, and reading one partition needs no plan for its bounds.
CREATE OR REPLACE FUNCTION total_inserted_attempts() RETURNS trigger
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
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
$$;

CREATE TRIGGER total_inserted_attempts AFTER INSERT ON attempts
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION total_inserted_attempts();

CREATE TRIGGER total_updated_attempts AFTER UPDATE ON attempts
REFERENCING OLD TABLE AS replaced NEW TABLE AS updated
FOR EACH STATEMENT EXECUTE FUNCTION total_updated_attempts();

-- Schedulers of earlier releases delete old attempts by ctid, which is unique within a partition only. It would delete
-- new attempts as well.
CREATE FUNCTION refuse_ctid_of_attempts() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF current_query() ~* '\mctid\M' THEN
        RAISE EXCEPTION 'attempts is partitioned: a ctid may name rows of several partitions'
            USING HINT = 'upgrade all schedulers';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER refuse_ctid_of_attempts BEFORE DELETE ON attempts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_ctid_of_attempts();

-- The partitions of attempts. They hold the ids from from_id to to_id (exclusive; NULL: no bound). The default partition
-- holds all others.
CREATE VIEW attempt_partitions AS
SELECT
    name,
    is_default,
    (regexp_match(bounds, 'FROM \(''([0-9a-f-]+)''\)'))[1]::uuid AS from_id,
    (regexp_match(bounds, 'TO \(''([0-9a-f-]+)''\)'))[1]::uuid AS to_id
FROM (
    SELECT relname AS name, bounds = 'DEFAULT' AS is_default, bounds
    FROM pg_inherits
    JOIN pg_class ON pg_class.oid = inhrelid
    CROSS JOIN LATERAL pg_get_expr(relpartbound, pg_class.oid) AS bounds
    WHERE inhparent = 'attempts'::regclass
) AS partitions;

-- Creates the partition of a month (UTC), if it does not exist. Attempts of the month that are already in the default
-- partition, because a clock was wrong, move there.
CREATE FUNCTION create_attempt_partition(month timestamptz) RETURNS void
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
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
$$;

-- One row while the default partition is being turned into a partition of its own, up to an id. See
-- begin_attempt_split.
CREATE TABLE attempt_split (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    -- NULL: no partition is older.
    from_id   uuid,
    to_id     uuid NOT NULL
);

-- The default partition has attempts that should have a partition. Turning it into that partition needs a proof that it
-- has no others: a constraint that new rows obey, and that is validated for the old ones while attempts are recorded. The
-- time must be so far ahead that no clock is there yet.
CREATE FUNCTION begin_attempt_split(to_at timestamptz) RETURNS void
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
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
$$;

-- Moves attempts that are outside the split, at most that many, to the table that becomes the default partition. Returns
-- how many. They are of wrong clocks, or older than what retention has deleted.
CREATE FUNCTION move_attempts_outside_split(max_rows integer) RETURNS integer
LANGUAGE plpgsql
AS $$
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
$$;

-- Makes the default partition a partition of the split, and the next default partition the default. The constraint is
-- validated, so this reads no rows.
CREATE FUNCTION finish_attempt_split() RETURNS void
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
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
$$;

-- Drops the oldest partition whose attempts all started before a time, if the totals hold their costs. Returns its name,
-- NULL if there is none.
CREATE FUNCTION drop_attempt_partition(before timestamptz) RETURNS text
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
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
$$;

-- Deletes attempts that started before a time, at most that many, if the totals hold their costs. A partition that spans
-- no more than the given time is left to drop_attempt_partition. Returns how many.
CREATE FUNCTION delete_old_attempts(before timestamptz, span interval, max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
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
$$;

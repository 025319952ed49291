-- Totals of attempts by hour and by day (UTC), so that questions about money do not read the attempts.
--
-- Triggers keep them in the transaction that records the attempts, whichever release of Longshore records them. Sums of
-- attempts that were deleted since stay.
CREATE TABLE cost_totals (
    -- hour or day.
    period                  text COLLATE "C" NOT NULL,
    start_at                timestamptz NOT NULL,
    -- Names are cut after 128 characters, because an index entry has at most 2,704 bytes.
    platform                text COLLATE "C" NOT NULL,
    model                   text COLLATE "C" NOT NULL,
    task_type               text COLLATE "C" NOT NULL,
    -- Empty: no tenant.
    tenant                  text COLLATE "C" NOT NULL,
    -- Jobs whose first call this was: of all their calls, on this platform, with this model, as this type.
    jobs                    bigint NOT NULL,
    jobs_on_platform        bigint NOT NULL,
    jobs_with_model         bigint NOT NULL,
    jobs_of_type            bigint NOT NULL,
    attempts                bigint NOT NULL,
    failed_attempts         bigint NOT NULL,
    cancelled_attempts      bigint NOT NULL,
    lost_attempts           bigint NOT NULL,
    -- The known cost.
    cost_usd                numeric NOT NULL,
    -- Attempts whose cost only the provider knows, and what was reserved for them.
    unknown_cost_attempts   bigint NOT NULL,
    reserved_unknown_usd    numeric NOT NULL,
    -- Attempts whose provider reports a cost, that cost, and by how much it differs where both are known.
    reported_attempts       bigint NOT NULL,
    reported_usd            numeric NOT NULL,
    reported_difference_usd numeric NOT NULL,
    PRIMARY KEY (period, start_at, platform, model, task_type, tenant)
)
-- The rows of the current hour change with every batch: new versions stay on their pages, without new index entries.
WITH (fillfactor = 50);

-- One row: for which times the totals and the attempts are complete.
CREATE TABLE cost_totals_range (
    singleton     boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    -- The totals hold every attempt from this hour on; -infinity once older attempts were added as well.
    complete_from timestamptz NOT NULL,
    -- Attempts from before this time may have been deleted.
    pruned_before timestamptz NOT NULL DEFAULT '-infinity'
);

-- What each attempt adds to the totals.
CREATE VIEW attempt_figures AS
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
            AND (other.started_at, other.attempt_id) < (attempts.started_at, attempts.attempt_id)
    )))::integer AS jobs_on_platform,
    (NOT (repeats AND EXISTS (
        SELECT FROM attempts AS other
        WHERE other.job_id = attempts.job_id AND other.model = attempts.model
            AND (other.started_at, other.attempt_id) < (attempts.started_at, attempts.attempt_id)
    )))::integer AS jobs_with_model,
    (NOT (repeats AND EXISTS (
        SELECT FROM attempts AS other
        WHERE other.job_id = attempts.job_id AND other.task_type = attempts.task_type
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
CROSS JOIN LATERAL (
    SELECT EXISTS (
        SELECT FROM attempts AS other
        WHERE other.job_id = attempts.job_id
            AND (other.started_at, other.attempt_id) < (attempts.started_at, attempts.attempt_id)
    ) AS repeats
    OFFSET 0
) AS earlier;

-- Makes writers of totals wait for each other until the end of their transactions: whether a call is the first of its
-- job depends on rows that others are writing. The number means nothing; it is only ours.
CREATE FUNCTION lock_cost_totals() RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7310583284156112947);
END
$$;

-- Adds changes to totals: a change of an hour to the hour and its day, a change of a day to the day alone.
CREATE FUNCTION add_to_cost_totals(changes cost_totals[]) RETURNS void
LANGUAGE plpgsql
AS $$
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
$$;

-- Nearly every call is the only one of its job, and counts as the first. That is taken back where a job has several: from
-- the new call, if an earlier one is known, or else from the old call that was the first until now. A job may have any
-- number of calls, so none of this reads them all without need. The plans must not depend on the size that the table
-- happened to have when a connection made them.
CREATE FUNCTION total_inserted_attempts() RETURNS trigger
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
    changes cost_totals[];
    repeated uuid[];
BEGIN
    IF NOT EXISTS (SELECT FROM inserted) THEN
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

    SELECT array_agg(inserted.attempt_id)
    INTO repeated
    FROM inserted
    CROSS JOIN LATERAL (
        SELECT
        FROM attempts
        WHERE attempts.job_id = inserted.job_id AND attempts.attempt_id <> inserted.attempt_id
        LIMIT 1
    ) AS others;
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

    PERFORM add_to_cost_totals(changes);
    RETURN NULL;
END
$$;

-- More was heard of calls: what they cost, how they ended. When, where and for which job a call began never changes.
CREATE FUNCTION total_updated_attempts() RETURNS trigger
LANGUAGE plpgsql
AS $$
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
$$;

-- What is missing from the totals, and negative what is too much: of each hour against its attempts, and of each whole day
-- against its hours. The times are whole hours, the end is exclusive.
CREATE FUNCTION cost_total_differences(from_hour timestamptz, to_hour timestamptz) RETURNS SETOF cost_totals
LANGUAGE sql STABLE
AS $$
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
$$;

-- From here to the end of the migration nothing is recorded, so no attempt is between the two kinds.
CREATE TRIGGER total_inserted_attempts AFTER INSERT ON attempts
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION total_inserted_attempts();

CREATE TRIGGER total_updated_attempts AFTER UPDATE ON attempts
REFERENCING OLD TABLE AS replaced NEW TABLE AS updated
FOR EACH STATEMENT EXECUTE FUNCTION total_updated_attempts();

-- Attempts from before are added later, hour by hour: they may be many.
INSERT INTO cost_totals_range (complete_from)
SELECT coalesce(date_bin('1 hour', max(started_at), timestamptz 'epoch') + interval '1 hour', '-infinity')
FROM attempts;

-- Alerts: a window of a quota or a budget was used up to a part of its limit. Each once a window.
CREATE TABLE alerts (
    -- What is counted, and whose, as in quota_windows.
    meter     text COLLATE "C" NOT NULL,
    start_at  timestamptz NOT NULL,
    -- In percent of the limit.
    threshold smallint NOT NULL,
    -- Absent of a window that never ends.
    end_at    timestamptz,
    -- requests or nano_usd (billionths of a dollar).
    unit      text NOT NULL,
    -- As it was then.
    used      bigint NOT NULL,
    allowed   bigint NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (meter, start_at, threshold)
);

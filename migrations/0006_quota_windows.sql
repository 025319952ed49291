-- Windows of quotas and budgets that are over: what was used of them. A window of which more is heard later
-- (a call that ended after it) is told again with the greater figure.
CREATE TABLE quota_windows (
    -- What is counted, and whose: an account's requests a day, a budget's dollars a month, and the like.
    meter     text COLLATE "C" NOT NULL,
    start_at  timestamptz NOT NULL,
    end_at    timestamptz NOT NULL,
    -- requests or nano_usd (billionths of a dollar).
    unit      text NOT NULL,
    used      bigint NOT NULL,
    allowed   bigint NOT NULL,
    -- When it was told last.
    closed_at timestamptz NOT NULL,
    PRIMARY KEY (meter, start_at)
);

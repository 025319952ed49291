-- How it came that a platform was asked, and what the provider itself says of the call.
ALTER TABLE attempts
    -- The steps of the decision, and who was skipped and why; NULL of attempts that were not routed so.
    ADD COLUMN decision          jsonb,
    -- NULL: the provider does not say.
    ADD COLUMN reported_cost_usd numeric,
    -- NULL: no limit counted tokens.
    ADD COLUMN tokens_estimated  bigint;

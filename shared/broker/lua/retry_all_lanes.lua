-- Has the lanes of all limits tried again at once, because a worker has applied another configuration.
--
-- KEYS[1]  `{ns}:lanes:due`
-- ARGV     1 namespace
-- Returns  nothing
-- Writes   `{ns}:lanes:retry`
-- Repeat   safe: the reason is there once
-- Bound    constant
retry_lanes(RECONFIGURED, now_ms())

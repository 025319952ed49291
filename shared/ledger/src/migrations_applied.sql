-- The migrations that this database has.
--
-- In:  nothing.
-- Out: one version a row.
SELECT version
FROM _sqlx_migrations
WHERE success

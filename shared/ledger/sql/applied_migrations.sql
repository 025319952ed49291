-- The migrations that this database has.
--
-- Parameters: none.
-- Result:     version, one row per migration.
SELECT version
FROM _sqlx_migrations
WHERE success

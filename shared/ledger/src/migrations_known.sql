-- Whether this database has ever been migrated.
--
-- In:  nothing.
-- Out: one boolean.
SELECT to_regclass('_sqlx_migrations') IS NOT NULL

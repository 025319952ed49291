-- Whether this database was ever migrated.
--
-- Parameters: none.
-- Result:     one boolean.
SELECT to_regclass('_sqlx_migrations') IS NOT NULL

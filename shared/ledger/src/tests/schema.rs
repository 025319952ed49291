//! The statements and `migrations/schema.sql` fit the migrated tables.

use std::{fmt::Write as _, fs, path::Path};

use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _};

use super::postgres::Database;

/// Columns and constraints of the tables but partitions. One row per line of `CREATE TABLE`, and what follows it.
const TABLES: &str = r#"
SELECT tables.relname::text AS "table", line, coalesce(' PARTITION BY ' || pg_get_partkeydef(tables.oid), '')
FROM pg_class AS tables
CROSS JOIN LATERAL (
    SELECT
        attnum::integer AS position,
        attname || ' ' || format_type(atttypid, atttypmod)
            || CASE WHEN attcollation <> typcollation THEN ' COLLATE ' || quote_ident(collname) ELSE '' END
            || coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '')
            || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END AS line
    FROM pg_attribute
    JOIN pg_type ON pg_type.oid = atttypid
    LEFT JOIN pg_collation ON pg_collation.oid = attcollation
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = tables.oid AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT
        10000 + row_number() OVER (ORDER BY conname)::integer,
        'CONSTRAINT ' || conname || ' ' || pg_get_constraintdef(oid, true)
    FROM pg_constraint
    WHERE conrelid = tables.oid AND contype IN ('p', 'u', 'f', 'c', 'x')
) AS lines
WHERE tables.relnamespace = 'public'::regnamespace
    AND tables.relkind IN ('r', 'p')
    AND NOT tables.relispartition
    AND tables.relname <> '_sqlx_migrations'
ORDER BY tables.relname COLLATE "C", position
"#;

/// The indexes that belong to no constraint.
const INDEXES: &str = r#"
SELECT tables.relname::text AS "table", pg_get_indexdef(indexrelid, 0, true) AS definition
FROM pg_index
JOIN pg_class AS tables ON tables.oid = indrelid
JOIN pg_class AS indexes ON indexes.oid = indexrelid
WHERE tables.relnamespace = 'public'::regnamespace
    AND NOT tables.relispartition
    AND tables.relname <> '_sqlx_migrations'
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
ORDER BY tables.relname COLLATE "C", indexes.relname COLLATE "C"
"#;

/// What the tables depend on or set off, each as a statement.
const OTHERS: &str = r#"
SELECT statement
FROM (
    SELECT 0 AS kind, relname AS name, 'CREATE TABLE ' || relname || ' PARTITION OF ' || inhparent::regclass || ' '
        || pg_get_expr(relpartbound, oid) || ';'
    FROM pg_class
    JOIN pg_inherits ON inhrelid = oid
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    UNION ALL
    SELECT 1, relname, 'CREATE VIEW ' || relname || ' AS' || chr(10) || pg_get_viewdef(oid, true)
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'
    UNION ALL
    SELECT 2, proname, pg_get_functiondef(oid)
    FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT 3, tgname, pg_get_triggerdef(oid, true) || ';'
    FROM pg_trigger
    WHERE NOT tgisinternal
) AS others (kind, name, statement)
ORDER BY kind, name COLLATE "C"
"#;

const HEADER: &str = "\
-- The tables of the ledger: what all migrations add up to. For readers; no program runs this file.
--
-- Written by `make schema`. Change the tables with a new migration.
";

/// The schema of a database as SQL, in a stable order.
async fn schema(database: &Database) -> String {
    let pool = &database.ledger.pool;
    let lines: Vec<(String, String, String)> =
        sqlx::query_as(TABLES).fetch_all(pool).await.unwrap();
    let indexes: Vec<(String, String)> = sqlx::query_as(INDEXES).fetch_all(pool).await.unwrap();
    let others: Vec<String> = sqlx::query_scalar(OTHERS).fetch_all(pool).await.unwrap();
    let mut sql = HEADER.to_owned();
    for columns in lines.chunk_by(|(one, ..), (other, ..)| one == other) {
        let (table, _, partitioned) = &columns[0];
        let columns: Vec<&str> = columns.iter().map(|(_, line, _)| line.as_str()).collect();
        let columns = columns.join(",\n    ");
        writeln!(
            sql,
            "\nCREATE TABLE {table} (\n    {columns}\n){partitioned};"
        )
        .unwrap();
        for (_, definition) in indexes.iter().filter(|(of, _)| of == table) {
            writeln!(sql, "{definition};").unwrap();
        }
    }
    for statement in others {
        writeln!(sql, "\n{}", statement.trim_end()).unwrap();
    }
    sql
}

#[tokio::test]
async fn schema_sql_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/schema.sql");
    let schema = schema(&Database::migrated().await).await;
    if std::env::var_os("LONGSHORE_WRITE_SCHEMA").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let file = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        file == schema,
        "migrations/schema.sql is stale: run `make schema`"
    );
}

/// The migrator skips files without `_` in their names; with `schema.sql` it would create all tables twice.
#[test]
fn schema_sql_is_no_migration() {
    let versions: Vec<i64> = crate::MIGRATOR.iter().map(|one| one.version).collect();
    assert_eq!(versions.first(), Some(&1));
    assert!(versions.is_sorted_by(|one, next| one < next));
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations"));
    assert_eq!(versions.len() + 1, files.unwrap().count());
}

#[tokio::test]
async fn every_statement_fits_the_tables() {
    let database = Database::migrated().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let sql = fs::read_to_string(&path).unwrap();
        let statement = AssertSqlSafe(sql).into_sql_str();
        if let Err(error) = database.ledger.pool.prepare(statement).await {
            failures.push(format!("{}: {error}", path.display()));
        }
        count += 1;
    }
    assert!(count > 30, "only {count} statements found");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

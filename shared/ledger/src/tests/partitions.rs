//! Attempts lie in partitions by the time in their ids, also those that were recorded before there were partitions.

use chrono::{Days, Months, TimeDelta};
use longshore_protocol::id::AttemptId;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{
    facts::{attempt, version},
    postgres::Database,
    totals::{assert_exact, migrate_before},
    *,
};
use crate::partitions::LOCK_PAUSE;

/// The id that attempt `n` has at a time.
fn id_at(time: DateTime<Utc>, n: u32) -> AttemptId {
    let ms = u128::try_from(time.timestamp_millis()).unwrap();
    AttemptId(Uuid::from_u128(
        (ms << 80) | (7 << 76) | (8 << 60) | u128::from(n),
    ))
}

/// Attempt `n` at a time, of a job of its own.
fn call(n: u32, time: DateTime<Utc>) -> (EventId, Event) {
    call_of(&format!("j{n}"), n, time, id_at(time, n))
}

fn call_of(job: &str, n: u32, time: DateTime<Utc>, id: AttemptId) -> (EventId, Event) {
    let mut record = attempt(job, n, AttemptOutcome::Completed);
    record.attempt_id = id;
    record.started_at = time;
    let event = Event {
        attempt: Some(Box::new(record)),
        ..Event::default()
    };
    (version(n.into()), event)
}

/// The partition of each attempt, by number of the attempt.
async fn places(ledger: &Ledger) -> Vec<(i32, String)> {
    sqlx::query_as("SELECT attempt, tableoid::regclass::text FROM attempts ORDER BY attempt")
        .fetch_all(&ledger.pool)
        .await
        .unwrap()
}

async fn partitions(ledger: &Ledger) -> Vec<String> {
    sqlx::query_scalar("SELECT name::text FROM attempt_partitions ORDER BY to_id NULLS LAST")
        .fetch_all(&ledger.pool)
        .await
        .unwrap()
}

async fn execute(ledger: &Ledger, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&ledger.pool).await.unwrap();
}

/// Waits until a query answers that something holds.
async fn until(ledger: &Ledger, sql: &'static str) {
    let holds = async || {
        let holds = sqlx::query_scalar(sql).fetch_one(&ledger.pool).await;
        holds.unwrap()
    };
    while !holds().await {
        tokio::time::sleep(LOCK_PAUSE / 100).await;
    }
}

fn owned<const N: usize>(places: [(i32, &str); N]) -> Vec<(i32, String)> {
    places.map(|(n, place)| (n, place.to_owned())).to_vec()
}

#[tokio::test]
async fn an_attempt_lies_in_the_partition_of_its_id() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let now = at("2026-11-23T12:00:00Z");
    ledger.make_attempt_partitions(now).await.unwrap();
    let made = [
        "attempts_2026_11",
        "attempts_2026_12",
        "attempts_2027_01",
        "attempts_default",
    ];
    assert_eq!(partitions(ledger).await, made);

    let december = at("2026-12-01T00:00:00Z");
    let other = AttemptId(Uuid::from_u128(u128::MAX));
    let batch = [
        call(1, now),
        call(2, december),
        call(3, december - TimeDelta::milliseconds(1)),
        call(4, at("2025-01-01T00:00:00Z")),
        call_of("j5", 5, now, other),
        call_of("j6", 6, now, AttemptId(Uuid::nil())),
    ];
    for _ in 0..2 {
        ledger.record(&batch).await.unwrap();
        let expected = [
            (1, "attempts_2026_11"),
            (2, "attempts_2026_12"),
            (3, "attempts_2026_11"),
            (4, "attempts_default"),
            (5, "attempts_default"),
            (6, "attempts_default"),
        ];
        assert_eq!(places(ledger).await, owned(expected));
        assert_exact(ledger).await;
    }
}

/// Another session creates the partition after this one has chosen the default partition, and before it writes there.
#[tokio::test]
async fn an_attempt_whose_partition_is_created_meanwhile_is_recorded_again() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let now = at("2026-11-23T12:00:00Z");
    let mut creating = ledger.pool.begin().await.unwrap();
    sqlx::query(include_str!("../../sql/create_attempt_partition.sql"))
        .bind(now)
        .execute(&mut *creating)
        .await
        .unwrap();
    let batch = [call(1, now)];
    let commit = async {
        let waits = "SELECT EXISTS (SELECT FROM pg_locks \
            WHERE relation = 'attempts_default'::regclass AND NOT granted AND mode = 'RowExclusiveLock')";
        until(ledger, waits).await;
        creating.commit().await.unwrap();
    };
    let (result, ()) = tokio::join!(ledger.record(&batch), commit);
    let error = result.unwrap_err();
    assert!(error.is_transient() && !error.is_bad_data(), "{error}");
    ledger.record(&batch).await.unwrap();
    let expected = [(1, "attempts_2026_11")];
    assert_eq!(places(ledger).await, owned(expected));
    assert_exact(ledger).await;
}

#[tokio::test]
async fn a_job_that_is_called_in_two_months_counts_in_both() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let december = at("2026-12-01T00:00:00Z");
    ledger.make_attempt_partitions(december).await.unwrap();
    let calls: Vec<_> = (1..=6)
        .map(|n| {
            let time = december + TimeDelta::minutes(i64::from(n) - 4);
            call_of("j", n, time, id_at(time, n))
        })
        .collect();
    // Later ones first: each earlier one takes the place of the first.
    for one in [3, 5, 2, 4, 0, 1] {
        ledger.record(&calls[one..=one]).await.unwrap();
    }
    ledger.record(&calls).await.unwrap();
    let all = ledger.costs(&CostFilter::default()).await.unwrap();
    assert_eq!((all.total_tasks, all.total_attempts), (2, 6));
    let wrong = ledger.wrong_cost_totals(DateTime::UNIX_EPOCH, 9).await;
    assert_eq!(wrong.unwrap(), []);
    // Both hours in part, so both are read from the attempts.
    let parts = CostFilter {
        since: Some(december - TimeDelta::minutes(5)),
        until: Some(december + TimeDelta::minutes(5)),
        ..CostFilter::default()
    };
    let found = ledger.costs(&parts).await.unwrap();
    assert_eq!((found.total_tasks, found.total_attempts), (2, 6));
}

#[tokio::test]
async fn recorded_attempts_become_a_partition_while_others_are_recorded() {
    let database = Database::empty().await;
    let ledger = &database.ledger;
    migrate_before(18, ledger).await;
    let now = at("2026-11-23T12:00:00Z");
    let role = format!("reader_{}", Uuid::now_v7().simple());
    let grant = format!("CREATE ROLE {role}; GRANT SELECT ON attempts TO {role}");
    sqlx::raw_sql(AssertSqlSafe(grant))
        .execute(&ledger.pool)
        .await
        .unwrap();
    let mut old: Vec<_> = (1..=2_000)
        .map(|n| call(n, now - TimeDelta::hours(n.into())))
        .collect();
    old.push(call(3_001, now + Days::new(300)));
    old.push(call_of(
        "j",
        3_002,
        now,
        AttemptId(Uuid::from_u128(u128::MAX)),
    ));
    ledger.record(&old).await.unwrap();
    ledger.migrate().await.unwrap();
    assert_exact(ledger).await;

    let record = async {
        for n in 1..=60 {
            let batch = [call(10_000 + n, now), old[0].clone()];
            ledger.record(&batch).await.unwrap();
        }
    };
    let make = || ledger.make_attempt_partitions(now);
    let ((), one, other) = tokio::join!(record, make(), make());
    one.unwrap();
    other.unwrap();
    let made = [
        "attempts_until_2026_12",
        "attempts_2026_12",
        "attempts_2027_01",
        "attempts_default",
    ];
    assert_eq!(partitions(ledger).await, made);
    assert_exact(ledger).await;
    let in_default: Vec<_> = places(ledger)
        .await
        .into_iter()
        .filter(|(_, place)| place == "attempts_default")
        .map(|(n, _)| n)
        .collect();
    assert_eq!(in_default, [3_001, 3_002]);
    let may_read: bool = sqlx::query_scalar("SELECT has_table_privilege($1, 'attempts', 'SELECT')")
        .bind(&role)
        .fetch_one(&ledger.pool)
        .await
        .unwrap();
    assert!(may_read);

    // A later run finds nothing to do. When that month begins, its attempt moves there.
    make().await.unwrap();
    assert_eq!(partitions(ledger).await, made);
    let later = now + Months::new(9);
    ledger.make_attempt_partitions(later).await.unwrap();
    let place = places(ledger).await.into_iter().find(|(n, _)| *n == 3_001);
    assert_eq!(place.unwrap().1, "attempts_2027_09");
    assert_exact(ledger).await;
}

#[tokio::test]
async fn a_killed_split_is_continued() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let now = at("2026-11-23T12:00:00Z");
    let old: Vec<_> = (1..=50)
        .map(|n| call(n, now - TimeDelta::hours(n.into())))
        .collect();
    ledger.record(&old).await.unwrap();
    // Killed after the first step.
    execute(ledger, "SELECT begin_attempt_split('2026-12-01T00:00:00Z')").await;
    ledger.record(&[call(100, now)]).await.unwrap();
    let of_wrong_clock = [call(101, now + Days::new(60))];
    let error = ledger.record(&of_wrong_clock).await.unwrap_err();
    assert!(error.is_transient() && !error.is_bad_data(), "{error}");

    // Killed before the last step: another session holds a lock that it needs.
    let mut reading = ledger.pool.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE attempts IN ACCESS SHARE MODE")
        .execute(&mut *reading)
        .await
        .unwrap();
    let kill = async {
        let killed = "SELECT count(pg_terminate_backend(pid)) = 1 FROM pg_locks \
            WHERE relation = 'attempts'::regclass AND NOT granted \
                AND mode = 'AccessExclusiveLock'";
        until(ledger, killed).await;
    };
    let (result, ()) = tokio::join!(ledger.make_attempt_partitions(now), kill);
    assert!(result.unwrap_err().is_transient());
    drop(reading);
    assert_eq!(partitions(ledger).await, ["attempts_default"]);
    assert_exact(ledger).await;

    ledger.make_attempt_partitions(now).await.unwrap();
    ledger.record(&of_wrong_clock).await.unwrap();
    let made = partitions(ledger).await;
    assert_eq!(made[0], "attempts_until_2026_12");
    assert_eq!(places(ledger).await.len(), 52);
    assert_exact(ledger).await;
}

#[tokio::test]
async fn attempts_without_a_partition_get_one_later() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let november = at("2026-11-23T12:00:00Z");
    ledger.make_attempt_partitions(november).await.unwrap();
    ledger.record(&[call(1, november)]).await.unwrap();
    // No scheduler ran from December to April.
    let april = at("2027-04-10T00:00:00Z");
    ledger.record(&[call(2, april)]).await.unwrap();
    ledger
        .record(&[call(3, at("2026-01-01T00:00:00Z"))])
        .await
        .unwrap();
    ledger.make_attempt_partitions(april).await.unwrap();
    let expected = [
        (1, "attempts_2026_11"),
        (2, "attempts_until_2027_05"),
        (3, "attempts_default"),
    ];
    assert_eq!(places(ledger).await, owned(expected));
    assert_exact(ledger).await;
}

#[tokio::test]
async fn retention_drops_partitions_and_costs_stay() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    for month in 1..=6 {
        let month = format!("2024-{month:02}-10T00:00:00Z");
        ledger.make_attempt_partitions(at(&month)).await.unwrap();
        let day = at(&month) + Days::new(8);
        let calls: Vec<_> = (0..10).map(|n| call(n, day)).collect();
        ledger.record(&calls).await.unwrap();
    }
    let before = ledger.costs(&CostFilter::default()).await.unwrap();
    assert_eq!(before.total_attempts, 60);

    // Attempts that are not in the totals yet stay.
    let set = "UPDATE cost_totals_range SET complete_from = '2024-02-01T00:00:00Z'";
    execute(ledger, set).await;
    let until = at("2024-04-20T00:00:00Z");
    let drop_one = async || ledger.drop_attempt_partition(until).await.unwrap();
    assert_eq!(drop_one().await.as_deref(), Some("attempts_2024_02"));
    let set = "UPDATE cost_totals_range SET complete_from = '-infinity'";
    execute(ledger, set).await;
    assert_eq!(drop_one().await.as_deref(), Some("attempts_2024_01"));
    assert_eq!(drop_one().await.as_deref(), Some("attempts_2024_03"));
    assert_eq!(drop_one().await, None);
    assert_eq!(places(ledger).await.len(), 30);
    let after = ledger.costs(&CostFilter::default()).await.unwrap();
    assert_eq!(after, before);

    // Years after, a month more or less does not matter: the rest of April is dropped as a whole, later.
    let prune = async |before| ledger.prune(Prunable::Attempts, before, 100).await.unwrap();
    assert_eq!(prune(until).await, 0);
    // Soon after, each row counts.
    let soon = longshore_protocol::clock::local_time();
    ledger.make_attempt_partitions(soon).await.unwrap();
    let recent: Vec<_> = (100..110).map(|n| call(n, soon)).collect();
    ledger.record(&recent).await.unwrap();
    assert_eq!(prune(soon + TimeDelta::seconds(1)).await, 40);
    assert_eq!(places(ledger).await, []);
    let wrong = ledger.wrong_cost_totals(DateTime::UNIX_EPOCH, 9).await;
    assert_eq!(wrong.unwrap(), []);
}

#[tokio::test]
async fn an_older_scheduler_deletes_no_attempts_of_other_partitions() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let now = at("2026-11-23T12:00:00Z");
    ledger.make_attempt_partitions(now).await.unwrap();
    let december = at("2026-12-10T00:00:00Z");
    ledger
        .record(&[call(1, now), call(2, december)])
        .await
        .unwrap();
    let delete = "DELETE FROM attempts WHERE ctid = ANY (ARRAY( \
        SELECT ctid FROM attempts WHERE started_at < $1 LIMIT 10))";
    let result = sqlx::query(delete)
        .bind(at("2026-11-30T00:00:00Z"))
        .execute(&ledger.pool)
        .await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("attempts is partitioned"), "{error}");
    assert_eq!(places(ledger).await.len(), 2);
}

/// A partition is empty when the plans are made, and nobody has counted its rows yet.
#[tokio::test]
async fn a_new_partition_is_read_by_job_and_not_as_a_whole() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let now = at("2026-11-23T12:00:00Z");
    ledger.make_attempt_partitions(now).await.unwrap();
    ledger.record(&[call(0, now)]).await.unwrap();
    execute(
        ledger,
        "ALTER TABLE attempts_2026_11 SET (autovacuum_enabled = off)",
    )
    .await;
    let mut transaction = ledger.pool.begin().await.unwrap();
    let insert = "CREATE TEMP TABLE template ON COMMIT DROP AS SELECT * FROM attempts;
        DO $$ BEGIN
            FOR batch IN 1..40 LOOP
                UPDATE template SET attempt = batch;
                INSERT INTO attempts
                SELECT (copy).*
                FROM (
                    SELECT jsonb_populate_record(template, jsonb_build_object(
                        'attempt_id', left(attempt_id::text, 24) || lpad((batch * 1000 + n)::text, 12, '0'),
                        'job_id', 'j' || (batch * 1000 + n)
                    )) AS copy
                    FROM template, generate_series(1, 200) AS n
                ) AS copies;
            END LOOP;
        END $$";
    sqlx::raw_sql(insert)
        .execute(&mut *transaction)
        .await
        .unwrap();
    let (lookups, rows): (i64, i64) = sqlx::query_as(
        "SELECT idx_scan, idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'attempts_2026_11'",
    )
    .fetch_one(&mut *transaction)
    .await
    .unwrap();
    assert!(lookups < 9_000, "{lookups} lookups to insert 8,000 rows");
    assert!(rows < 20_000, "{rows} rows read to insert 8,000");
}

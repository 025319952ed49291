//! The totals of costs are the sums of the attempts, whatever happens to these.

use std::borrow::Cow;

use chrono::TimeDelta;
use longshore_protocol::event::AttemptRecord;
use proptest::{prelude::*, sample::Index, test_runner::TestRunner};
use sqlx::migrate::Migrator;
use tokio::runtime::Runtime;

use super::{
    facts::{attempt, time, version},
    postgres::Database,
    *,
};

/// What may differ between two accounts of attempts. The number of an attempt determines all that never changes.
type Account = (u8, u8, u8);

/// Attempt `n`: of one of three jobs, on one of two platforms, in one of four hours on two days.
fn account((n, knows, cost): Account) -> (EventId, Event) {
    let outcome = match knows {
        0 => AttemptOutcome::Lost,
        1 => AttemptOutcome::Failed,
        _ => AttemptOutcome::Completed,
    };
    let mut call = attempt(&format!("j{}", n % 3), u32::from(n), outcome);
    call.platform = ["openai", "groq"][usize::from(n / 3 % 2)].to_owned();
    call.model = ["small", "large"][usize::from(n / 2 % 2)].to_owned();
    call.duplicate = knows == 1;
    call.started_at = time(0) + TimeDelta::hours(i64::from(n.wrapping_mul(7) % 4) * 9);
    call.cost_usd = (knows > 0 && cost > 0).then(|| format!("0.0{cost}").parse().unwrap());
    call.reported_cost_usd = (cost % 2 == 1).then(|| "0.25".parse().unwrap());
    let labels = call.labels.as_mut().unwrap();
    labels.tenant = (n % 3 > 0).then(|| format!("t{}", n % 3));
    labels.task_type = ["research", "review"][usize::from(n % 2)].to_owned();
    let event = Event {
        attempt: Some(Box::new(call)),
        ..Event::default()
    };
    (version(n.into()), event)
}

/// Sums over the rows, without any total: jobs, attempts, known cost; of everything or of one value of a column.
async fn sums(ledger: &Ledger, column: &str) -> Vec<(String, i64, i64, String)> {
    let sql = format!(
        "SELECT {column}::text, count(DISTINCT job_id), count(*), \
             trim_scale(coalesce(sum(cost_usd), 0))::text \
         FROM attempts GROUP BY 1"
    );
    let mut rows: Vec<_> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .fetch_all(&ledger.pool)
        .await
        .unwrap();
    rows.sort();
    rows
}

fn lines(lines: &[CostLine]) -> Vec<(String, i64, i64, String)> {
    let mut lines: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line.name.clone(),
                i64::try_from(line.tasks).unwrap(),
                i64::try_from(line.attempts).unwrap(),
                line.cost_usd.to_string(),
            )
        })
        .collect();
    lines.sort();
    lines
}

/// Compares every total with the rows.
pub(super) async fn assert_exact(ledger: &Ledger) {
    let wrong = ledger
        .wrong_cost_totals(DateTime::UNIX_EPOCH, 100)
        .await
        .unwrap();
    assert_eq!(wrong, []);
    let filter = CostFilter {
        by_tenant: true,
        by_day: true,
        ..CostFilter::default()
    };
    let all = ledger.costs(&filter).await.unwrap();
    let total = CostLine {
        name: "all".to_owned(),
        tasks: all.total_tasks,
        attempts: all.total_attempts,
        cost_usd: all.total_cost,
        unknown_cost_attempts: all.unknown_cost_attempts,
    };
    let total = if all.total_attempts == 0 {
        Vec::new()
    } else {
        lines(&[total])
    };
    assert_eq!(total, sums(ledger, "'all'").await);
    assert_eq!(lines(&all.by_platform), sums(ledger, "platform").await);
    assert_eq!(lines(&all.by_model), sums(ledger, "model").await);
    assert_eq!(lines(&all.by_type), sums(ledger, "task_type").await);
    assert_eq!(
        lines(&all.by_tenant),
        sums(ledger, "coalesce(tenant, '')").await
    );
    let day = sums(ledger, "(started_at AT TIME ZONE 'UTC')::date").await;
    let costs = |lines: Vec<(String, i64, i64, String)>| -> Vec<_> {
        // A job counts on the day of its first call only.
        let cost = |(name, _, attempts, cost)| (name, attempts, cost);
        lines.into_iter().map(cost).collect()
    };
    assert_eq!(costs(lines(&all.by_day)), costs(day));
    let tasks: u64 = all.by_day.iter().map(|line| line.tasks).sum();
    assert_eq!(tasks, all.total_tasks, "days add up");
}

#[test]
fn totals_are_exact_for_any_order_and_repetition_of_accounts() {
    let accounts = prop::collection::vec((0..24_u8, 0..4_u8, 0..4_u8), 1..40);
    let order = prop::collection::vec(any::<Index>(), 0..30);
    let batches = prop::collection::vec(1..12_usize, 1..8);
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(Database::migrated());
    let config = ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&(accounts, order, batches), |(accounts, order, batches)| {
            runtime.block_on(async {
                database.clear().await;
                let again = order.iter().map(|index| *index.get(&accounts));
                let deliveries: Vec<_> = accounts.iter().copied().chain(again).collect();
                let mut rest = deliveries.as_slice();
                for size in batches.iter().cycle() {
                    let (batch, after) = rest.split_at((*size).min(rest.len()));
                    let events: Vec<_> = batch.iter().copied().map(account).collect();
                    database.ledger.record(&events).await.unwrap();
                    rest = after;
                    if rest.is_empty() {
                        break;
                    }
                }
                assert_exact(&database.ledger).await;
            });
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn recorders_at_the_same_time_neither_fail_nor_miscount() {
    let database = Database::migrated().await;
    // All recorders know all attempts, in different orders and with different certainty.
    let record = async |recorder: u8| {
        for round in 0..20_u8 {
            let n = |step: u8| (step * 7 + round * (recorder + 1)) % 24;
            let events: Vec<_> = (0..6)
                .map(|step| account((n(step), (recorder + round) % 3, 1)))
                .collect();
            database.ledger.record(&events).await.unwrap();
        }
    };
    tokio::join!(record(0), record(1), record(2), record(3));
    assert_exact(&database.ledger).await;
}

/// Applies the migrations before one.
pub(super) async fn migrate_before(version: i64, ledger: &Ledger) {
    let before: Vec<_> = crate::MIGRATOR
        .iter()
        .filter(|migration| migration.version < version)
        .cloned()
        .collect();
    let migrator = Migrator {
        migrations: Cow::Owned(before),
        ..Migrator::DEFAULT
    };
    migrator.run(&ledger.pool).await.unwrap();
}

#[tokio::test]
async fn attempts_from_before_the_totals_are_added_hour_by_hour() {
    let database = Database::empty().await;
    let ledger = &database.ledger;
    migrate_before(16, ledger).await;
    let old: Vec<_> = (0..18).map(|n| account((n, 2, 1))).collect();
    ledger.record(&old).await.unwrap();
    ledger.migrate().await.unwrap();
    assert_exact(ledger).await;

    // A late fact, a correction and a repetition for hours that are not added yet, and something new.
    let mut facts: Vec<_> = [(20, 2, 3), (21, 0, 0), (3, 2, 1)].map(account).into();
    facts.push(account((23, 2, 2)));
    ledger.record(&facts).await.unwrap();
    assert_exact(ledger).await;
    let mut hours = 0;
    while ledger.extend_cost_totals().await.unwrap() {
        hours += 1;
        assert_exact(ledger).await;
        ledger
            .record(&[account((21, hours.min(2), 1))])
            .await
            .unwrap();
        assert_exact(ledger).await;
    }
    assert_eq!(hours, 4);
    assert!(!ledger.extend_cost_totals().await.unwrap());
    assert_exact(ledger).await;
}

#[tokio::test]
async fn totals_outlive_their_attempts() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let batch: Vec<_> = (0..24).map(|n| account((n, 2, 1))).collect();
    ledger.record(&batch).await.unwrap();
    let filter = CostFilter {
        since: Some(time(0)),
        ..CostFilter::default()
    };
    let before = ledger.costs(&filter).await.unwrap();
    assert_eq!(before.total_attempts, 24);

    let kept = |rows, at| async move { ledger.prune(rows, at, 100).await.unwrap() };
    let later = time(0) + TimeDelta::days(30);
    assert_eq!(
        kept(Prunable::CostTotals, later).await,
        0,
        "not before the attempts"
    );
    assert_eq!(kept(Prunable::Attempts, later).await, 24);
    assert_eq!(ledger.costs(&filter).await.unwrap(), before);
    let wrong = ledger.wrong_cost_totals(DateTime::UNIX_EPOCH, 9).await;
    assert_eq!(wrong.unwrap(), [], "nothing can be compared");
    assert!(kept(Prunable::CostTotals, later).await > 0);
    let nothing = ledger.costs(&filter).await.unwrap();
    assert_eq!(nothing, CostSummary::default());
}

#[tokio::test]
async fn wrong_totals_are_named_and_corrected() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let batch: Vec<_> = (0..24).map(|n| account((n, 2, 1))).collect();
    ledger.record(&batch).await.unwrap();
    for sql in [
        "DELETE FROM attempts WHERE attempt_id = '00000000-0000-0000-0000-000000000004'",
        "UPDATE cost_totals SET cost_usd = cost_usd + 1 WHERE period = 'day' AND platform = 'groq' AND model = 'large'",
    ] {
        sqlx::query(sql).execute(&ledger.pool).await.unwrap();
    }
    let wrong = ledger
        .wrong_cost_totals(DateTime::UNIX_EPOCH, 100)
        .await
        .unwrap();
    assert!(wrong.iter().any(|wrong| wrong.is_day));
    let hour = wrong.iter().find(|wrong| !wrong.is_day).unwrap();
    assert_eq!((hour.platform.as_str(), hour.attempts), ("groq", -1));
    let later = time(0) + TimeDelta::days(30);
    let since = time(0) - TimeDelta::days(2);
    let corrected = ledger.correct_cost_totals(since, time(0)).await.unwrap();
    assert!(corrected > 0);
    assert_exact(ledger).await;
    let again = ledger.correct_cost_totals(since, later);
    assert_eq!(again.await.unwrap(), 0);
}

#[tokio::test]
async fn parts_of_hours_come_from_the_attempts() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let start = at("2026-11-21T10:00:00Z");
    let calls = (0..120_u32).map(|n| {
        let mut call: AttemptRecord = attempt(&format!("j{n}"), n + 1, AttemptOutcome::Completed);
        call.started_at = start + TimeDelta::minutes(i64::from(n) * 30);
        call
    });
    let batch: Vec<_> = calls
        .map(|call| Event {
            attempt: Some(Box::new(call)),
            ..Event::default()
        })
        .map(|event| (version(1), event))
        .collect();
    ledger.record(&batch).await.unwrap();
    for (from, to) in [(0, 1), (1, 2), (1, 4), (1, 50), (29, 119), (28, 76), (3, 3)] {
        let time = |n: i64| Some(start + TimeDelta::minutes(n * 30));
        let filter = CostFilter {
            since: time(from),
            until: time(to),
            ..CostFilter::default()
        };
        let found = ledger.costs(&filter).await.unwrap();
        let expected = u64::try_from(to - from).unwrap();
        assert_eq!(
            (found.total_attempts, found.total_tasks),
            (expected, expected),
            "{from} to {to}"
        );
    }
    for (from, to) in [(0, 0), (0, 1), (1, 2), (2, 4), (3, 50), (29, 111)] {
        let time = |minutes: i64| Some(start + TimeDelta::minutes(minutes));
        let filter = CostFilter {
            since: time(from * 30 + 10),
            until: time(to * 30 + 50),
            by_day: true,
            ..CostFilter::default()
        };
        let found = ledger.costs(&filter).await.unwrap();
        let expected = u64::try_from(to + 1 - from).unwrap();
        assert_eq!(
            (found.total_attempts, found.total_tasks),
            (expected, expected),
            "{from} to {to}"
        );
        let of_days: u64 = found.by_day.iter().map(|day| day.attempts).sum();
        assert_eq!(of_days, expected, "{from} to {to}");
    }
    let other = CostFilter {
        tenant: Some("other".to_owned()),
        ..CostFilter::default()
    };
    let found = ledger.costs(&other).await.unwrap();
    assert_eq!(found, CostSummary::default());
}

#[tokio::test]
async fn long_names_do_not_stop_the_recorder() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let (id, mut event) = account((1, 2, 1));
    let call = event.attempt.as_mut().unwrap();
    call.platform = "✓".repeat(3000);
    call.model = "ü".repeat(3000);
    let labels = call.labels.as_mut().unwrap();
    labels.task_type = "☃".repeat(3000);
    labels.tenant = Some("ß".repeat(3000));
    ledger.record(&[(id, event)]).await.unwrap();
    let wrong = ledger.wrong_cost_totals(DateTime::UNIX_EPOCH, 9).await;
    assert_eq!(wrong.unwrap(), []);
    let all = ledger.costs(&CostFilter::default()).await.unwrap();
    assert_eq!(all.by_type[0].name, "☃".repeat(128));
}

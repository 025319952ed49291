//! Windows of quotas and budgets, and alerts.

use chrono::{DateTime, Utc};
use longshore_protocol::event::{AlertRecord, Event, WindowRecord, WindowUnit};
use proptest::{prelude::*, sample::Index, test_runner::TestRunner};
use sqlx::Row;
use tokio::runtime::Runtime;

use super::{facts::version, postgres::Database};
use crate::{EventId, Ledger, Prunable};

const DAY: i64 = 86_400_000;

/// Event `n` with the window of a day (counted from 1970) and its usage.
fn closed(n: u64, meter: &str, day: i64, used: u64) -> (EventId, Event) {
    let window = WindowRecord {
        meter: meter.to_owned(),
        unit: WindowUnit::NanoUsd,
        start_ms: day * DAY,
        end_ms: (day + 1) * DAY,
        used,
        limit: 100,
    };
    let event = Event {
        window: Some(Box::new(window)),
        ..Event::default()
    };
    (version(n), event)
}

/// Meter, start, end, unit, used, allowed.
type Row6 = (String, DateTime<Utc>, DateTime<Utc>, String, i64, i64);

async fn stored(ledger: &Ledger) -> Vec<Row6> {
    let mut connection = ledger.acquire().await.unwrap();
    sqlx::query(
        "SELECT meter, start_at, end_at, unit, used, allowed FROM quota_windows ORDER BY 1, 2",
    )
    .try_map(|row: sqlx::postgres::PgRow| {
        Ok((
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(4)?,
            row.try_get(5)?,
        ))
    })
    .fetch_all(&mut *connection)
    .await
    .unwrap()
}

fn row(meter: &str, day: i64, used: i64) -> Row6 {
    let at = |day: i64| DateTime::from_timestamp_millis(day * DAY).unwrap();
    let unit = "nano_usd".to_owned();
    (meter.to_owned(), at(day), at(day + 1), unit, used, 100)
}

#[tokio::test]
async fn the_account_of_a_window_with_the_most_usage_stays() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let batch = [
        closed(1, "openai:rpd", 3, 40),
        closed(2, "openai:rpd", 3, 60),
        closed(3, "openai:rpd", 3, 50),
        closed(4, "openai:rpd", 4, 0),
        closed(5, "gemini:rpd", 3, 7),
    ];
    ledger.record(&batch).await.unwrap();
    let expected = [
        row("gemini:rpd", 3, 7),
        row("openai:rpd", 3, 60),
        row("openai:rpd", 4, 0),
    ];
    assert_eq!(stored(ledger).await, expected);
    ledger
        .record(&[closed(6, "openai:rpd", 3, 59)])
        .await
        .unwrap();
    assert_eq!(stored(ledger).await, expected);
    ledger
        .record(&[closed(7, "openai:rpd", 3, 61)])
        .await
        .unwrap();
    assert_eq!(stored(ledger).await[1], row("openai:rpd", 3, 61));
}

#[tokio::test]
async fn any_name_of_a_meter_is_recorded() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let long = "ä".repeat(9000);
    let mut first = closed(1, "a\0b", 0, u64::MAX);
    first.1.window.as_mut().unwrap().start_ms = i64::MIN;
    let batch = [
        first,
        closed(2, "ab", 0, 1),
        closed(3, &long, 0, 1),
        closed(4, &format!("{long}x"), 0, 2),
    ];
    ledger.record(&batch).await.unwrap();
    let expected = [row("ab", 0, i64::MAX), row(&"ä".repeat(256), 0, 2)];
    assert_eq!(stored(ledger).await, expected);
}

/// Event `n` with an alert of day 3.
fn alert(n: u64, threshold: u8, used: u64, end_ms: Option<i64>) -> (EventId, Event) {
    let alert = AlertRecord {
        meter: "budget:b".to_owned(),
        unit: WindowUnit::NanoUsd,
        start_ms: 3 * DAY,
        end_ms,
        threshold,
        used,
        limit: 100,
        at_ms: 3 * DAY + 5,
    };
    let event = Event {
        alert: Some(Box::new(alert)),
        ..Event::default()
    };
    (version(n), event)
}

#[tokio::test]
async fn old_windows_and_alerts_are_deleted() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let windows = (0..5_i64).map(|day| closed(1 + day.unsigned_abs(), "openai:rpd", day, 1));
    ledger.record(&windows.collect::<Vec<_>>()).await.unwrap();
    let alerts = [alert(6, 50, 51, None), alert(7, 80, 81, None)];
    ledger.record(&alerts).await.unwrap();
    let day = |day: i64| DateTime::from_timestamp_millis(day * DAY).unwrap();
    let prune = |rows, before, limit| ledger.prune(rows, before, limit);
    assert_eq!(prune(Prunable::Windows, day(4), 2).await.unwrap(), 2);
    assert_eq!(prune(Prunable::Windows, day(4), 2).await.unwrap(), 1);
    let left: Vec<_> = stored(ledger).await.into_iter().map(|row| row.1).collect();
    assert_eq!(left, [day(3), day(4)]);
    assert_eq!(prune(Prunable::Alerts, day(3), 9).await.unwrap(), 0);
    assert_eq!(prune(Prunable::Alerts, day(4), 9).await.unwrap(), 2);
}

#[tokio::test]
async fn the_first_record_of_an_alert_stays() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let batch = [
        alert(1, 50, 51, Some(4 * DAY)),
        alert(2, 80, 81, None),
        alert(3, 50, 52, None),
    ];
    for _ in 0..2 {
        ledger.record(&batch).await.unwrap();
    }
    ledger.record(&[alert(4, 80, 99, None)]).await.unwrap();
    let rows: Vec<(i16, i64, i64, bool)> = sqlx::query_as(
        "SELECT threshold, used, allowed, end_at IS NULL FROM alerts ORDER BY threshold",
    )
    .fetch_all(&mut *ledger.acquire().await.unwrap())
    .await
    .unwrap();
    assert_eq!(rows, [(50, 51, 100, false), (80, 81, 100, true)]);
}

#[test]
fn rows_do_not_depend_on_the_order_of_deliveries() {
    let history = prop::collection::vec((0..2_i64, 0..4_u64), 1..16);
    let order = prop::collection::vec(any::<Index>(), 0..24);
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(Database::migrated());
    let config = ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&(history, order), |(history, order)| {
            let history: Vec<_> = (1..)
                .zip(&history)
                .map(|(n, (day, used))| closed(n, "m", *day, *used))
                .collect();
            let got = runtime.block_on(deliver(&database, &history, &order));
            let most = |day: i64| {
                history
                    .iter()
                    .filter_map(|(_, event)| event.window.as_ref())
                    .filter(|window| window.start_ms == day * DAY)
                    .map(|window| i64::try_from(window.used).unwrap())
                    .max()
                    .map(|used| row("m", day, used))
            };
            prop_assert_eq!(got, (0..2).filter_map(most).collect::<Vec<_>>());
            Ok(())
        })
        .unwrap();
}

/// Records some events in any order one by one, then all at once.
async fn deliver(database: &Database, history: &[(EventId, Event)], order: &[Index]) -> Vec<Row6> {
    database.clear().await;
    for index in order {
        let one = index.get(history).clone();
        database.ledger.record(&[one]).await.unwrap();
    }
    database.ledger.record(history).await.unwrap();
    stored(&database.ledger).await
}

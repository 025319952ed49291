//! Alerts and resets end to end: a webhook receiver, real workers, and schedulers that are killed.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use anyhow::ensure;
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use longshore_protocol::clock::local_time;
use longshore_tests::stack::{Options, Stack, eventually, within};
use serde_json::Value;

use crate::{
    simulated::{Model, SimulatedProvider, config_yaml},
    webhook_receiver::{SECRET, WebhookReceiver},
};

impl WebhookReceiver {
    /// The thresholds of the delivered alerts, in order, by id: a repeated delivery counts once.
    fn thresholds(&self) -> Vec<u64> {
        let received = self.received.lock().unwrap();
        let by_id: BTreeMap<&str, u64> = received
            .iter()
            .map(|(id, body)| (id.as_str(), threshold_of(body)))
            .collect();
        let mut thresholds: Vec<u64> = by_id.into_values().collect();
        thresholds.sort_unstable();
        thresholds
    }

    fn deliveries(&self) -> usize {
        self.received.lock().unwrap().len()
    }
}

fn threshold_of(body: &Value) -> u64 {
    body.pointer("/data/threshold")
        .and_then(Value::as_u64)
        .unwrap()
}

/// One provider with ten requests a day and a window that ends at `reset`.
async fn stack(receiver: &WebhookReceiver, reset: DateTime<Utc>) -> Stack {
    let secret = format!("whsec_{SECRET}");
    let stack = Stack::start(Options {
        env: vec![("WEBHOOK_SECRET".to_owned(), secret)],
        ..Options::default()
    })
    .await
    .unwrap();
    let hook = &receiver.url;
    let rest = format!(
        "webhooks: {{hosts: [\"{hook}\"], secret: \"${{WEBHOOK_SECRET}}\", timeout: 2s}}\n\
         alerts: {{webhook: \"{hook}/alerts\"}}"
    );
    let limits = format!(
        "{{requests_per_day: 10, reset_at: \"{}\"}}",
        reset.format("%H:%M")
    );
    let meter = SimulatedProvider::limited("meter", Model::Cheap, &limits);
    stack
        .config_yaml(&config_yaml(&stack, &[meter], &rest))
        .unwrap();
    stack
}

/// Makes `count` calls, one after another.
async fn call(stack: &Stack, times: usize) {
    for _ in 0..times {
        let id = stack.xadd(&[("prompt", "hello")]).await.unwrap();
        let outcome = stack.outcome(&id).await.unwrap();
        assert!(outcome.success, "{outcome:?}");
    }
}

async fn arrived(receiver: &WebhookReceiver, thresholds: &[u64]) {
    eventually("the alerts arrive", || async {
        let arrived = receiver.thresholds();
        ensure!(arrived == thresholds, "{arrived:?}");
        Ok(())
    })
    .await
    .unwrap();
}

/// The alerts in the ledger: threshold, used and allowed.
async fn recorded(stack: &Stack) -> Vec<(i16, i64, i64)> {
    stack.recorded().await.unwrap();
    let pool = sqlx::PgPool::connect(&stack.database_url).await.unwrap();
    sqlx::query_as("SELECT threshold, used, allowed FROM alerts ORDER BY threshold")
        .fetch_all(&pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_threshold_is_delivered_once_and_signed_when_schedulers_are_killed() {
    let receiver = WebhookReceiver::start().await;
    let stack = stack(&receiver, local_time() + TimeDelta::hours(12)).await;
    let _worker = stack.worker().unwrap();
    let mut first = stack.scheduler().unwrap();
    call(&stack, 4).await;
    // The first delivery fails, and the scheduler that attempted it is killed.
    receiver.away.store(true, Ordering::SeqCst);
    call(&stack, 1).await;
    eventually("the alert is tried", || async {
        ensure!(!receiver.refused.lock().unwrap().is_empty());
        Ok(())
    })
    .await
    .unwrap();
    first.kill().unwrap();
    assert_eq!(receiver.thresholds(), [] as [u64; 0]);
    receiver.away.store(false, Ordering::SeqCst);
    let mut second = stack.scheduler().unwrap();
    arrived(&receiver, &[50]).await;
    let id = receiver.received.lock().unwrap()[0].0.clone();
    assert!(
        receiver.refused.lock().unwrap().contains(&id),
        "it is the same alert"
    );

    // No scheduler runs when the next thresholds are passed.
    second.kill().unwrap();
    call(&stack, 4).await;
    let _third = stack.scheduler().unwrap();
    arrived(&receiver, &[50, 80, 90]).await;
    call(&stack, 1).await;
    assert_eq!(
        recorded(&stack).await,
        [(50, 5, 10), (80, 9, 10), (90, 9, 10)]
    );
    assert_eq!(receiver.deliveries(), 3, "none came twice");
    let received = receiver.received.lock().unwrap().clone();
    let (_, body) = received.last().unwrap();
    assert_eq!(body["type"], "quota.alert");
    assert_eq!(body["data"]["meter"], "rpd:meter");
    assert_eq!(body["data"]["used"], 9);
    stack.books().await.unwrap().balance();
}

/// Meter, end, used, allowed, and when it was reported.
type Closed = (String, DateTime<Utc>, i64, i64, DateTime<Utc>);

/// Quotas reset at full minutes, so this is the soonest possible reset.
fn next_reset() -> DateTime<Utc> {
    let minute = TimeDelta::minutes(1);
    let soon = local_time() + TimeDelta::seconds(15);
    soon.duration_trunc(minute).unwrap() + minute
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_recorded_at_its_reset_without_a_further_call() {
    let receiver = WebhookReceiver::start().await;
    let reset = next_reset();
    let stack = stack(&receiver, reset).await;
    let _worker = stack.worker().unwrap();
    let _schedulers = [stack.scheduler().unwrap(), stack.scheduler().unwrap()];
    call(&stack, 3).await;
    assert!(
        local_time() < reset,
        "this machine is too slow for the test"
    );
    let pool = sqlx::PgPool::connect(&stack.database_url).await.unwrap();
    let windows = || async {
        let rows: Vec<Closed> =
            sqlx::query_as("SELECT meter, end_at, used, allowed, closed_at FROM quota_windows")
                .fetch_all(&pool)
                .await?;
        anyhow::Ok(rows)
    };
    stack.recorded().await.unwrap();
    if local_time() < reset {
        assert_eq!(windows().await.unwrap(), []);
    }
    let timeout = (reset - local_time()).to_std().unwrap_or_default() + Duration::from_secs(30);
    let row = within(timeout, "the window is recorded", || async {
        let rows = windows().await?;
        ensure!(!rows.is_empty());
        Ok(rows)
    })
    .await
    .unwrap();
    assert_eq!(row.len(), 1);
    let (meter, end, used, allowed, closed) = &row[0];
    assert_eq!((meter.as_str(), *end), ("rpd:meter", reset));
    assert_eq!((*used, *allowed), (3, 10));
    let late = *closed - reset;
    assert!(
        (TimeDelta::zero()..TimeDelta::seconds(5)).contains(&late),
        "{late}"
    );
    assert_eq!(stack.simulator.stats().requests, 3, "nobody called again");
    assert_eq!(receiver.deliveries(), 0, "30 % are no alert");
}

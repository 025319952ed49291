//! Pausing and resuming queues, types and providers.

use std::time::{Duration, Instant};

use anyhow::ensure;
use longshore_protocol::{
    clock::local_time,
    envelope::RawMessage,
    id::{JobId, QueueName},
    state::JobState,
};
use longshore_tests::stack::{Options, Stack, eventually, expect_success, within};

use super::{explain, json, wait_for_lane};
use crate::simulated::{Model, SimulatedProvider, config_yaml};

async fn put(stack: &Stack, queue: &QueueName, fields: &[(&str, &str)]) -> JobId {
    let message = RawMessage {
        fields: fields
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect(),
    };
    JobId::from_entry(
        &stack
            .broker
            .queues()
            .enqueue(queue, &message)
            .await
            .unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_is_not_read_and_running_jobs_finish() {
    let mut stack = Stack::start(Options::with_latency(Duration::from_millis(500)))
        .await
        .unwrap();
    stack.set_env("LONGSHORE_QUEUES", "default,bulk");
    let bulk = QueueName::parse("bulk").unwrap();
    let _worker = stack.worker().unwrap();
    let running = put(&stack, &bulk, &[("prompt", "runs already")]).await;
    stack.wait_for_calls(1).await.unwrap();
    let output = expect_success(
        stack
            .longshore(&[
                "pause",
                "queue",
                "bulk",
                "--reason",
                "the printer is on fire",
            ])
            .await
            .unwrap(),
    );
    assert!(
        output.starts_with("Paused queue bulk: the printer"),
        "{output}"
    );
    assert!(stack.outcome(&running).await.unwrap().success);

    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(put(&stack, &bulk, &[("prompt", "waits")]).await);
    }
    for _ in 0..5 {
        let other = stack.xadd(&[("prompt", "goes on")]).await.unwrap();
        assert!(stack.outcome(&other).await.unwrap().success);
    }
    let depth = stack.broker.queues().depth(&bulk).await.unwrap();
    assert_eq!((depth.available, depth.running), (20, 0));
    assert_eq!(stack.simulator.stats().in_flight, 0);

    let why = explain(&stack, &held[0]).await;
    assert!(
        why.contains("queue bulk has been paused") && why.contains("on fire"),
        "{why}"
    );
    for command in ["status", "queues"] {
        let shown = json(&stack, &[command]).await.unwrap();
        assert_eq!(shown["paused"][0]["what"], "queue:bulk", "{command}");
        let text = expect_success(stack.longshore(&[command]).await.unwrap());
        assert!(
            text.contains("queue bulk") && text.contains("on fire"),
            "{text}"
        );
    }

    let asked = Instant::now();
    expect_success(stack.longshore(&["resume", "queue", "bulk"]).await.unwrap());
    let outcomes = stack.outcomes(&held).await.unwrap();
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.success && outcome.attempts == 1)
    );
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    let again = stack.longshore(&["resume", "queue", "bulk"]).await.unwrap();
    assert_eq!(again.code, Some(1), "it is not paused any more");
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_paused_type_wait_in_order_and_spend_no_attempt() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    stack.set_env("LONGSHORE_CONCURRENCY", "1");
    let _scheduler = stack.scheduler().unwrap();
    expect_success(
        stack
            .longshore(&["pause", "type", "research"])
            .await
            .unwrap(),
    );
    let research = r#"{"type":"research","prompt":"waits"}"#.to_owned();
    let held = stack.enqueue(&vec![research; 40]).await.unwrap();
    let _worker = stack.worker().unwrap();
    let other = stack
        .xadd(&[("prompt", "goes on"), ("type", "testing")])
        .await
        .unwrap();
    assert!(stack.outcome(&other).await.unwrap().success);
    wait_for_lane(&stack, "paused:type:research", 40).await;
    let why = explain(&stack, &held[7]).await;
    assert!(why.contains("type research has been paused"), "{why}");

    expect_success(
        stack
            .longshore(&["resume", "type", "research"])
            .await
            .unwrap(),
    );
    let outcomes = stack.outcomes(&held).await.unwrap();
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.success && outcome.attempts == 1)
    );
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.ledger.len(), 41, "one call each");
    let mut begun = Vec::new();
    for id in &held {
        let job = stack.ledger.job(id).await.unwrap().unwrap();
        begun.push(job.row.job.started_at.unwrap());
    }
    assert!(
        begun.is_sorted(),
        "they began in the order in which they came: {begun:?}"
    );
    wait_for_lane(&stack, "paused:type:research", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_provider_is_skipped_and_jobs_pinned_to_it_wait() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let _worker = stack.worker().unwrap();
    expect_success(
        stack
            .longshore(&["pause", "provider", "gemini", "--reason", "under review"])
            .await
            .unwrap(),
    );
    // By now the worker has applied the pause.
    eventually("another answers", || async {
        let id = stack
            .xadd(&[("prompt", "x"), ("platform", "gemini")])
            .await?;
        let outcome = stack.outcome(&id).await?;
        ensure!(outcome.platform.as_deref() != Some("gemini"), "{outcome:?}");
        stack.recorded().await?;
        let job = stack.ledger.job(&id).await?;
        let bad = stack.broker.events().bad_count().await?;
        assert!(job.is_some(), "{id} is not recorded; {bad} bad events");
        let history = job.unwrap().history;
        let decision = history[0].decision.clone().unwrap_or_default();
        let why = &decision.skipped.first().unwrap().why;
        assert_eq!(why, "paused: under review");
        Ok(())
    })
    .await
    .unwrap();

    let only = [
        ("prompt", "x"),
        ("platform", "gemini"),
        ("fallback", "false"),
    ];
    let held = stack.xadd(&only).await.unwrap();
    wait_for_lane(&stack, "paused:provider:gemini", 1).await;
    let why = explain(&stack, &held).await;
    assert!(
        why.contains("provider gemini has been paused") && why.contains("under review"),
        "{why}"
    );
    expect_success(
        stack
            .longshore(&["resume", "provider", "gemini"])
            .await
            .unwrap(),
    );
    let outcome = stack.outcome(&held).await.unwrap();
    assert_eq!((outcome.state, outcome.attempts), (JobState::Completed, 1));
    assert_eq!(outcome.platform.as_deref(), Some("gemini"));

    let unknown = stack
        .longshore(&["pause", "provider", "gemin"])
        .await
        .unwrap();
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
    assert!(
        unknown.stderr.contains("no provider `gemin`"),
        "{}",
        unknown.stderr
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timed_pause_ends_by_itself() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let _worker = stack.worker().unwrap();
    let asked = Instant::now();
    expect_success(
        stack
            .longshore(&["pause", "type", "research", "--for", "10s"])
            .await
            .unwrap(),
    );
    let id = stack
        .xadd(&[("prompt", "x"), ("type", "research")])
        .await
        .unwrap();
    wait_for_lane(&stack, "paused:type:research", 1).await;
    let outcome = stack.outcome(&id).await.unwrap();
    assert!(outcome.success);
    assert!(
        asked.elapsed() >= Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    assert!(stack.broker.pauses().list().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_missed_the_notification_still_applies_a_pause() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let first = stack.xadd(&[("prompt", "x")]).await.unwrap();
    stack.outcome(&first).await.unwrap();
    redis::cmd("HSET")
        .arg(stack.broker.keys().paused())
        .arg("type:research")
        .arg(r#"{"since":1}"#)
        .query_async::<()>(&mut stack.connection().await.unwrap())
        .await
        .unwrap();
    within(Duration::from_secs(6), "it is known", || async {
        stack.xadd(&[("prompt", "x"), ("type", "research")]).await?;
        let lanes = stack.broker.lanes().sizes().await?;
        ensure!(
            lanes.iter().any(|(name, _)| name == "paused:type:research"),
            "{lanes:?}"
        );
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_account_is_shown_and_can_be_released() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let only = [SimulatedProvider::unlimited("only", Model::Cheap)];
    let yaml = config_yaml(&stack, &only, "");
    stack.config_yaml(&yaml).unwrap();
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let refused = [("prompt", "[[fail_first=1:429]] [[retry_after=3600]] x")];
    let first = stack.xadd(&refused).await.unwrap();
    eventually("the account is held", || async {
        let holds = stack.broker.limits().account_holds(local_time()).await?;
        ensure!(!holds.is_empty());
        Ok(())
    })
    .await
    .unwrap();
    let second = stack
        .xadd(&[("prompt", "waits for the account")])
        .await
        .unwrap();
    let command = "longshore resume provider only --now";
    for (id, attempts) in [(&first, "next attempt"), (&second, "start time")] {
        eventually("the job is parked until the hold ends", || async {
            let why = explain(&stack, id).await;
            ensure!(why.contains("account only on hold until"), "{why}");
            ensure!(why.contains(attempts) && why.contains(command), "{why}");
            Ok(())
        })
        .await
        .unwrap();
    }
    for report in ["quota", "status", "doctor"] {
        let ran = stack.longshore(&[report]).await.unwrap();
        assert!(ran.stdout.contains("account only on hold until"), "{ran:?}");
        assert!(ran.stdout.contains("Rate limited"), "{ran:?}");
    }

    let released = stack
        .longshore(&["resume", "provider", "only", "--now"])
        .await
        .unwrap();
    assert_eq!(
        expect_success(released),
        "account only is no longer on hold\n"
    );
    // Also the job that was refused itself.
    stack.successes(&[first, second]).await.unwrap();
    let again = stack
        .longshore(&["resume", "provider", "only", "--now"])
        .await
        .unwrap();
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(
        again
            .stderr
            .contains("provider only is neither paused nor on hold"),
        "{again:?}"
    );
    let queue = stack
        .longshore(&["resume", "queue", "default", "--now"])
        .await
        .unwrap();
    assert!(
        queue.stderr.contains("--now is for a provider"),
        "{queue:?}"
    );
}

//! Delayed jobs, deadlines and retries.

use std::{collections::BTreeSet, time::Duration};

use anyhow::bail;
use chrono::{TimeDelta, Utc};
use longshore_protocol::{
    clock::local_time,
    state::{AttemptOutcome, JobState},
};
use longshore_tests::stack::{Options, Stack, eventually};

async fn stack() -> Stack {
    Stack::start(Options::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn delayed_jobs_start_on_time() {
    let stack = stack().await;
    let _scheduler = stack.scheduler().unwrap();
    let _worker = stack.worker().unwrap();
    let warm = stack.xadd(&[("prompt", "warm up")]).await.unwrap();
    stack.outcome(&warm).await.unwrap();
    let at = (local_time() + TimeDelta::seconds(3)).to_rfc3339();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(
            stack
                .xadd(&[("prompt", "later"), ("delay", "2")])
                .await
                .unwrap(),
        );
        ids.push(
            stack
                .xadd(&[("prompt", "at"), ("run_at", &at)])
                .await
                .unwrap(),
        );
    }
    stack.outcomes(&ids).await.unwrap();
    stack.recorded().await.unwrap();
    for id in &ids {
        let job = stack.ledger.job(id).await.unwrap().unwrap().row.job;
        let due = if job.prompt_head == "at" {
            at.parse::<chrono::DateTime<Utc>>().unwrap()
        } else {
            job.enqueued_at + TimeDelta::seconds(2)
        };
        let late = job.started_at.unwrap() - due;
        assert!(
            late >= TimeDelta::milliseconds(-1),
            "never early, but {late}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_did_not_start_in_time_expires() {
    let stack = stack().await;
    let late = stack
        .xadd(&[("prompt", "too late"), ("start_by", "0.05")])
        .await
        .unwrap();
    let dead = stack
        .xadd(&[("prompt", "too late"), ("deadline", "0.05")])
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let _worker = stack.worker().unwrap();
    for id in [late, dead] {
        let outcome = stack.outcome(&id).await.unwrap();
        assert_eq!(outcome.state, JobState::Discarded);
        assert_eq!(
            outcome.error_class.as_deref(),
            Some("expired"),
            "{outcome:?}"
        );
    }
    assert_eq!(stack.simulator.stats().requests, 0, "nothing was called");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_call_that_takes_too_long() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let id = stack
        .xadd(&[
            ("prompt", "[[latency=20000]] slow"),
            ("deadline", "2"),
            ("fallback", "false"),
        ])
        .await
        .unwrap();
    let outcome = stack.outcome(&id).await.unwrap();
    assert_eq!(outcome.state, JobState::Discarded);
    assert!(outcome.duration_ms < 10_000, "{outcome:?}");
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_retried_on_the_same_provider() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let id = stack
        .xadd(&[(
            "job",
            r#"{"prompt":"[[fail_first=2:503]] hello","retry":{"base_delay":0.1,"max_delay":0.2}}"#,
        )])
        .await
        .unwrap();
    let outcome = stack.outcome(&id).await.unwrap();
    assert!(outcome.success, "{outcome:?}");
    assert_eq!(outcome.attempts, 3);
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.count(AttemptOutcome::Failed), 2);
    let platforms: std::collections::BTreeSet<_> =
        books.ledger.iter().map(|row| &row.platform).collect();
    assert_eq!(platforms.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_retry_after_parks_a_job_without_fallback_and_keeps_its_history() {
    let stack = stack().await;
    let _scheduler = stack.scheduler().unwrap();
    let mut worker = stack.worker().unwrap();
    let id = stack
        .xadd(&[
            ("prompt", "[[fail_first=1:429]] [[retry_after=12]] hello"),
            ("fallback", "false"),
        ])
        .await
        .unwrap();
    eventually("it waits in the lane", || async {
        match stack.broker.lanes().parked_job(&id).await? {
            Some(waiting) => Ok(waiting),
            None => bail!("not in a lane"),
        }
    })
    .await
    .unwrap();
    // The job stays parked when the worker dies.
    worker.kill().unwrap();
    let _heir = stack.worker().unwrap();
    let outcome = stack.outcome(&id).await.unwrap();
    assert!(outcome.success, "{outcome:?}");
    assert_eq!(outcome.attempts, 2);
    assert!(
        outcome.duration_ms >= 12_000,
        "never before Retry-After: {outcome:?}"
    );
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.ledger.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_providers_fail_the_dead_letter_names_them() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let id = stack
        .xadd(&[("job", r#"{"prompt":"[[status=500]] no","retry":{"max_retries":1,"base_delay":0.01,"max_delay":0.01}}"#)])
        .await
        .unwrap();
    let outcome = stack.outcome(&id).await.unwrap();
    let error = outcome.error.unwrap();
    assert!(
        error.starts_with("All platforms failed. Last error: "),
        "{error}"
    );
    assert!(
        error.contains("Tried: ") && error.contains("openai") && error.contains("gemini"),
        "{error}"
    );
    let bound = stack
        .xadd(&[(
            "job",
            r#"{"prompt":"[[status=400]] no","platform":"gemini","fallback":false}"#,
        )])
        .await
        .unwrap();
    let error = stack.outcome(&bound).await.unwrap().error.unwrap();
    assert!(
        error.starts_with("gemini: Request rejected (HTTP 400). ")
            && error.ends_with(". No other platform was tried, because `fallback` is false"),
        "{error}"
    );
    let (_, dead_letter, _) = stack
        .broker
        .dead_letters()
        .newest(id.as_str())
        .await
        .unwrap()
        .expect("a dead letter");
    assert_eq!(dead_letter.record.reason, "overloaded");
    assert!(
        dead_letter.checkpoint.history.len() >= 4,
        "its history is kept"
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_error_is_not_retried() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let alone = [("prompt", "[[status=400]] no"), ("fallback", "false")];
    let id = stack.xadd(&alone).await.unwrap();
    let outcome = stack.outcome(&id).await.unwrap();
    assert_eq!(
        outcome.error_class.as_deref(),
        Some("bad_request"),
        "{outcome:?}"
    );
    assert_eq!(outcome.attempts, 1);
    let anywhere = [("prompt", "[[status=400]] no")];
    let id = stack.xadd(&anywhere).await.unwrap();
    let outcome = stack.outcome(&id).await.unwrap();
    let dead_letters = stack.broker.dead_letters();
    let (_, dead_letter, _) = dead_letters.newest(id.as_str()).await.unwrap().unwrap();
    let history = dead_letter.checkpoint.history.iter();
    let platforms: BTreeSet<&str> = history.map(|attempt| &*attempt.platform).collect();
    assert!(platforms.len() > 1, "{platforms:?}");
    assert_eq!(outcome.attempts as usize, platforms.len(), "once on each");
}

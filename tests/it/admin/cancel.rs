//! Cancelling jobs in every state.

use std::time::{Duration, Instant};

use anyhow::ensure;
use longshore_protocol::{
    id::JobId,
    state::{AttemptOutcome, JobState},
};
use longshore_simulator::Dialect;
use longshore_tests::stack::{Options, Stack, eventually, expect_success, within};

use super::wait_for_lane;

async fn cancel(stack: &Stack, id: &JobId) {
    expect_success(
        stack
            .longshore(&["jobs", "cancel", id.as_str()])
            .await
            .unwrap(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_call_is_dropped_within_a_second_and_its_cost_recorded() {
    let stack = Stack::start(Options::with_latency(Duration::from_mins(1)))
        .await
        .unwrap();
    let _worker = stack.worker().unwrap();
    let id = stack.xadd(&[("prompt", "x")]).await.unwrap();
    stack.wait_for_calls(1).await.unwrap();
    cancel(&stack, &id).await;
    let asked = Instant::now();
    within(Duration::from_secs(1), "the call is dropped", || async {
        let calls = stack.simulator.stats().in_flight;
        ensure!(calls == 0, "{calls} calls are in flight");
        Ok(())
    })
    .await
    .unwrap();
    let outcome = stack.outcome(&id).await.unwrap();
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!((outcome.state, outcome.attempts), (JobState::Cancelled, 1));

    let books = stack.books().await.unwrap();
    books.balance();
    let [attempt] = books.ledger.as_slice() else {
        panic!("{:?}", books.ledger)
    };
    assert_eq!(attempt.outcome, AttemptOutcome::Cancelled);
    assert_eq!(attempt.cost_usd, None, "only the provider knows");
    assert!(attempt.reserved_usd > longshore_protocol::money::Usd::ZERO);
}

/// One provider with one call at a time.
fn one_at_a_time(stack: &Stack) -> String {
    format!(
        "providers:\n  solo: {{dialect: openai, base_url: \"{}\", api_key: simulated, default_model: gpt-4o-mini, \
         price: {{input: 0.15, output: 0.6}}, limits: {{max_concurrent: 1}}}}\n",
        stack.simulator.base_url("solo", Dialect::Openai)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_jobs_are_cancelled_without_a_call() {
    let stack = Stack::start(Options::with_latency(Duration::from_mins(1)))
        .await
        .unwrap();
    stack.config_yaml(&one_at_a_time(&stack)).unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let _worker = stack.worker().unwrap();
    expect_success(
        stack
            .longshore(&["pause", "type", "research"])
            .await
            .unwrap(),
    );
    let key = [("concurrency_key", "k"), ("concurrency_limit", "1")];
    let running = stack
        .xadd(&[&[("prompt", "x")], &key[..]].concat())
        .await
        .unwrap();
    stack.wait_for_calls(1).await.unwrap();
    let keyed = stack
        .xadd(&[&[("prompt", "x")], &key[..]].concat())
        .await
        .unwrap();
    let timed = stack
        .xadd(&[("prompt", "x"), ("delay", "3600")])
        .await
        .unwrap();
    let limited = stack.xadd(&[("prompt", "x")]).await.unwrap();
    let paused = stack
        .xadd(&[("prompt", "x"), ("type", "research")])
        .await
        .unwrap();
    wait_for_lane(&stack, "key:k", 1).await;
    wait_for_lane(&stack, "time", 1).await;
    wait_for_lane(&stack, "quota:slots:solo", 1).await;
    wait_for_lane(&stack, "paused:type:research", 1).await;

    let held = [keyed, timed, limited, paused];
    for id in &held {
        cancel(&stack, id).await;
    }
    for outcome in stack.outcomes(&held).await.unwrap() {
        assert_eq!(
            (outcome.state, outcome.attempts),
            (JobState::Cancelled, 0),
            "{outcome:?}"
        );
    }
    cancel(&stack, &running).await;
    assert_eq!(
        stack.outcome(&running).await.unwrap().state,
        JobState::Cancelled
    );
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.ledger.len(), 1, "one call was made, and dropped");
    for (lane, count) in stack.broker.lanes().sizes().await.unwrap() {
        // The sweep removes ids whose jobs are gone.
        assert!(
            count <= 1 && !lane.starts_with("paused") && lane != "time",
            "{lane}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_in_a_tenant_lane_are_cancelled_by_their_own_ids() {
    let mut stack = Stack::start(Options::with_latency(Duration::from_mins(1)))
        .await
        .unwrap();
    stack.set_env("LONGSHORE_CONCURRENCY", "1");
    let _worker = stack.worker().unwrap();
    let running = stack
        .xadd(&[("prompt", "x"), ("tenant", "a")])
        .await
        .unwrap();
    stack.wait_for_calls(1).await.unwrap();
    stack
        .xadd(&[("prompt", "x"), ("tenant", "b"), ("id", "inv-1")])
        .await
        .unwrap();
    wait_for_lane(&stack, "tenant:default:b", 1).await;
    let own = JobId::parse("inv-1").unwrap();
    cancel(&stack, &own).await;
    cancel(&stack, &running).await;
    let outcome = stack.outcome(&own).await.unwrap();
    assert_eq!((outcome.state, outcome.attempts), (JobState::Cancelled, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_by_filter_cancels_every_matching_job() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let job = |task_type: &str, tenant: &str, more: &str| {
        format!(r#"{{"prompt":"x","type":"{task_type}","tenant":"{tenant}"{more}}}"#)
    };
    let worker = stack.worker().unwrap();
    let delayed = vec![job("research", "acme", r#","delay":3600"#); 150];
    let mut wanted = stack.enqueue(&delayed).await.unwrap();
    wait_for_lane(&stack, "time", 150).await;
    worker.shut_down().await.unwrap();
    let queued = vec![job("research", "acme", ""); 150];
    wanted.extend(stack.enqueue(&queued).await.unwrap());
    let others = [job("testing", "acme", ""), job("research", "globex", "")];
    let others = stack.enqueue(&others).await.unwrap();

    let all = [
        "jobs", "cancel", "--all", "--type", "research", "--tenant", "acme",
    ];
    let unsure = stack.longshore(&all).await.unwrap();
    assert_eq!(
        unsure.code,
        Some(2),
        "no terminal to ask on: {}",
        unsure.stderr
    );
    let dry = expect_success(
        stack
            .longshore(&[&all[..], &["--dry-run"]].concat())
            .await
            .unwrap(),
    );
    assert!(dry.starts_with("300 jobs would be cancelled:"), "{dry}");
    let output = expect_success(
        stack
            .longshore(&[&all[..], &["--yes"]].concat())
            .await
            .unwrap(),
    );
    assert_eq!(output.trim(), "cancellation requested for 300 jobs");

    let _worker = stack.worker().unwrap();
    for outcome in stack.outcomes(&wanted).await.unwrap() {
        assert_eq!(outcome.state, JobState::Cancelled);
    }
    for outcome in stack.outcomes(&others).await.unwrap() {
        assert_eq!(outcome.state, JobState::Completed);
    }
    eventually("nothing is left of the requests", || async {
        for id in wanted.iter().chain(&others) {
            ensure!(!stack.broker.jobs().is_cancel_requested(id).await?, "{id}");
        }
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_cancels_the_available_jobs_of_one_queue() {
    let mut stack = Stack::start(Options::with_latency(Duration::from_mins(1)))
        .await
        .unwrap();
    stack.set_env("LONGSHORE_CONCURRENCY", "1");
    let worker = stack.worker().unwrap();
    let running = stack.xadd(&[("prompt", "x")]).await.unwrap();
    stack.wait_for_calls(1).await.unwrap();
    let queued = vec![r#"{"prompt":"x","reply":true}"#.to_owned(); 250];
    let queued = stack.enqueue(&queued).await.unwrap();
    let purge = ["queues", "purge", "default"];
    let unsure = stack.longshore(&purge).await.unwrap();
    assert_eq!(unsure.code, Some(2), "no terminal to ask on: {unsure:?}");
    let dry = [&purge[..], &["--dry-run"]].concat();
    let dry = expect_success(stack.longshore(&dry).await.unwrap());
    assert!(dry.starts_with("250 jobs would be cancelled:"), "{dry}");
    let misspelt = ["queues", "purge", "defualt", "--yes"];
    let misspelt = stack.longshore(&misspelt).await.unwrap();
    let said = "no queue `defualt`; did you mean `default`?";
    assert!(misspelt.stderr.contains(said), "{misspelt:?}");

    let yes = [&purge[..], &["--yes"]].concat();
    let output = expect_success(stack.longshore(&yes).await.unwrap());
    assert_eq!(output.trim(), "cancellation requested for 250 jobs");
    assert!(
        !stack
            .broker
            .jobs()
            .is_cancel_requested(&running)
            .await
            .unwrap()
    );
    cancel(&stack, &running).await;
    for outcome in stack.outcomes(&queued).await.unwrap() {
        assert_eq!((outcome.state, outcome.attempts), (JobState::Cancelled, 0));
    }
    worker.shut_down().await.unwrap();
    let left = stack.xadd(&[("prompt", "x")]).await.unwrap();
    let alone = stack.longshore(&yes).await.unwrap();
    let said = "Warning: No worker is running; the jobs end when one does";
    assert!(
        alone.code == Some(0) && alone.stderr.contains(said),
        "{alone:?}"
    );
    let _worker = stack.worker().unwrap();
    assert_eq!(
        stack.outcome(&left).await.unwrap().state,
        JobState::Cancelled
    );
}

//! Running jobs before their time.

use std::time::Duration;

use anyhow::ensure;
use longshore_protocol::{id::JobId, state::JobState};
use longshore_tests::stack::{Options, Ran, Stack, eventually, expect_success};
use serde_json::Value;

use super::{explain, wait_for_lane};
use crate::simulated::{Model, SimulatedProvider, config_yaml};

const DELAYED: [(&str, &str); 2] = [("prompt", "x"), ("delay", "3600")];

async fn run_now(stack: &Stack, words: &[&str]) -> Ran {
    stack
        .longshore(&[&["jobs", "run-now"], words].concat())
        .await
        .unwrap()
}

/// Waits until `jobs why` has all these words.
async fn wait_for_words(stack: &Stack, id: &JobId, words: &[&str]) {
    eventually("the job waits as expected", || async {
        let why = explain(stack, id).await;
        ensure!(words.iter().all(|word| why.contains(word)), "{why}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_job_runs_now_and_one_that_no_time_holds_is_explained() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let pause = ["pause", "type", "research"];
    expect_success(stack.longshore(&pause).await.unwrap());
    let delayed = stack.xadd(&DELAYED).await.unwrap();
    let paused = [("prompt", "x"), ("type", "research")];
    let paused = stack.xadd(&paused).await.unwrap();
    stack
        .write(
            "chain.json",
            r#"{"id":"c-1","steps":[{"name":"a","prompt":"one"}]}"#,
        )
        .unwrap();
    expect_success(
        stack
            .longshore(&["chain", "run", "chain.json"])
            .await
            .unwrap(),
    );
    let command = format!("`longshore jobs run-now {delayed}` runs it now");
    wait_for_words(&stack, &delayed, &["waiting for its start time", &command]).await;
    wait_for_lane(&stack, "paused:type:research", 1).await;

    let ran = run_now(&stack, &[delayed.as_str(), paused.as_str(), "nobody"]).await;
    assert_eq!(ran.code, Some(1), "not all are released: {ran:?}");
    for text in [
        format!("{delayed}: released: the next worker with a free slot runs it\n"),
        format!("{paused}: not released: not attempted because type research has been paused"),
        "; to end it: `longshore resume type research`".to_owned(),
    ] {
        assert!(ran.stdout.contains(&text), "{ran:?}");
    }
    assert!(ran.stderr.contains("no job `nobody`"), "{ran:?}");
    let outcome = stack.outcome(&delayed).await.unwrap();
    assert_eq!((outcome.state, outcome.attempts), (JobState::Completed, 1));

    let ended = run_now(&stack, &[delayed.as_str(), "--format", "json"]).await;
    let answers: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(answers[0]["result"], "ended", "{ended:?}");
    assert_eq!(answers[0]["text"], "already ended: completed", "{ended:?}");
    let chain = run_now(&stack, &["c-1"]).await;
    assert_eq!(chain.code, Some(2), "{chain:?}");
    let said = "`c-1` is a chain, not a job; try `longshore chain show c-1`";
    assert!(chain.stderr.contains(said), "{chain:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_its_retry_runs_now() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let only = [SimulatedProvider::unlimited("only", Model::Cheap)];
    let yaml = config_yaml(&stack, &only, "");
    stack.config_yaml(&yaml).unwrap();
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let refused = [("prompt", "[[fail_first=1:503]] [[retry_after=3600]] x")];
    let id = stack.xadd(&refused).await.unwrap();
    wait_for_words(&stack, &id, &["waiting for its next attempt"]).await;
    let released = expect_success(run_now(&stack, &[id.as_str()]).await);
    assert!(released.contains("released: the next worker"), "{released}");
    let outcome = stack.outcome(&id).await.unwrap();
    assert_eq!((outcome.state, outcome.attempts), (JobState::Completed, 2));
    stack.books().await.unwrap().balance();
}

/// A job that had to wait for its key forgot that it was released, and waited for its start time again.
#[tokio::test(flavor = "multi_thread")]
async fn a_released_job_may_wait_for_its_key_and_runs_after_it() {
    let stack = Stack::start(Options::with_latency(Duration::from_mins(1)))
        .await
        .unwrap();
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let key = [("concurrency_key", "k"), ("concurrency_limit", "1")];
    let keyed = [&[("prompt", "x")], &key[..]].concat();
    let running = stack.xadd(&keyed).await.unwrap();
    stack.wait_for_calls(1).await.unwrap();
    let delayed = stack
        .xadd(&[&DELAYED[..], &key[..]].concat())
        .await
        .unwrap();
    wait_for_lane(&stack, "time", 1).await;
    expect_success(run_now(&stack, &[delayed.as_str()]).await);
    wait_for_lane(&stack, "key:k", 1).await;
    let cancel = ["jobs", "cancel", running.as_str()];
    expect_success(stack.longshore(&cancel).await.unwrap());
    wait_for_words(&stack, &delayed, &["in flight on worker"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_now_by_filter_releases_every_matching_job() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let job = |task_type: &str| {
        format!(r#"{{"prompt":"x","type":"{task_type}","tenant":"acme","delay":3600}}"#)
    };
    let wanted = stack.enqueue(&vec![job("research"); 150]).await.unwrap();
    let other = stack.enqueue(&[job("testing")]).await.unwrap().remove(0);
    wait_for_lane(&stack, "time", 151).await;

    let all = ["--all", "--type", "research", "--tenant", "acme"];
    let unsure = run_now(&stack, &all).await;
    assert_eq!(unsure.code, Some(2), "no terminal to ask on: {unsure:?}");
    let dry = expect_success(run_now(&stack, &[&all[..], &["--dry-run"]].concat()).await);
    assert!(dry.starts_with("150 jobs would run now:"), "{dry}");
    wait_for_lane(&stack, "time", 151).await;
    let output = expect_success(run_now(&stack, &[&all[..], &["--yes"]].concat()).await);
    assert_eq!(output.trim(), "released 150 jobs");
    for outcome in stack.outcomes(&wanted).await.unwrap() {
        assert_eq!(outcome.state, JobState::Completed);
    }
    wait_for_words(&stack, &other, &["waiting for its start time"]).await;
    let json = [&all[..], &["--yes", "--format", "json"]].concat();
    let again = expect_success(run_now(&stack, &json).await);
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(
        (&again["found"], &again["released"]),
        (&0.into(), &0.into())
    );
    let mixed = run_now(&stack, &[other.as_str(), "--dry-run"]).await;
    assert_eq!(mixed.code, Some(2), "{mixed:?}");
}

//! What workers and schedulers log about trouble: one line for each event, with fields.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use longshore_protocol::{id::JobId, state::JobState};
use longshore_simulator::Faults;
use longshore_tests::stack::{Options, Process, Stack, eventually, expect_success, prompts};
use serde_json::{Value, json};

use crate::simulated::{Model, SimulatedProvider, config_yaml};

const QUICK: &str = "retry: {max_retries: 1, base_delay: 10ms, max_delay: 20ms, jitter: 0ms}";

/// In every prompt, and so in no line.
const PROMPT: &str = "confidential";

/// Two platforms, the first of which is cheaper.
async fn two(rest: &str) -> Stack {
    let stack = Stack::start(Options::default()).await.unwrap();
    let providers = [
        SimulatedProvider::unlimited("a", Model::Cheap),
        SimulatedProvider::unlimited("b", Model::Dear),
    ];
    let yaml = config_yaml(&stack, &providers, &format!("{QUICK}\n{rest}"));
    stack.config_yaml(&yaml).unwrap();
    stack
}

/// The lines of a log.
fn lines(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap();
    let parsed = text.lines().map(serde_json::from_str);
    parsed.collect::<Result<_, _>>().unwrap()
}

/// The lines with these fields.
fn matching(process: &Process, fields: &Value) -> Vec<Value> {
    let mut found = lines(process.log());
    found.retain(|line| {
        let mut fields = fields.as_object().unwrap().iter();
        fields.all(|(name, value)| line[name] == *value)
    });
    found
}

/// Waits for the one line with these fields.
async fn line(process: &Process, fields: Value) -> Value {
    let found = eventually("the line is written", || async {
        let found = matching(process, &fields);
        ensure!(
            !found.is_empty(),
            "{fields} is not in the log: {:#?}",
            lines(process.log())
        );
        Ok(found)
    })
    .await
    .unwrap();
    assert_eq!(found.len(), 1, "{found:#?}");
    found.into_iter().next().unwrap()
}

/// Enqueues a job for platform `a` whose prompt begins with these markers.
async fn send(stack: &Stack, markers: &str, more: Value) -> JobId {
    let mut job = json!({"prompt": format!("{markers} {PROMPT}"), "platform": "a"});
    let more = more.as_object().unwrap().clone();
    job.as_object_mut().unwrap().extend(more);
    let ids = stack.enqueue(&[job.to_string()]).await.unwrap();
    ids.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_fallbacks_and_dead_letters_have_a_line_each() {
    let mut stack = two("").await;
    stack.set_env("LONGSHORE_LOG", "info,longshore_worker=debug");
    let worker = stack.worker().unwrap();

    let ids = json!({
        "tenant": "acme", "chain_id": "night-7",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    });
    let retried = send(&stack, "[[fail_first=1:503]]", ids).await;
    assert!(stack.outcome(&retried).await.unwrap().success);
    let failed = line(
        &worker,
        json!({
            "level": "INFO", "message": "attempt failed", "job_id": retried.as_str(),
            "chain_id": "night-7", "tenant": "acme",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "platform": "a", "model": "gpt-4o-mini", "error_class": "overloaded",
            "status": 503, "attempt": 1, "next": "retry",
        }),
    )
    .await;
    assert_eq!(failed["retry_in"], "0.0s");
    for attempt in [1, 2] {
        let routed = json!({
            "level": "DEBUG", "message": "job routed", "job_id": retried.as_str(),
            "attempt": attempt, "platform": "a", "model": "gpt-4o-mini",
        });
        let routed = line(&worker, routed).await;
        assert!(routed["reason"].is_string(), "{routed}");
    }

    let moved = send(&stack, "[[fail_first=1:400]]", json!({})).await;
    assert!(stack.outcome(&moved).await.unwrap().success);
    let fallback = json!({
        "level": "INFO", "message": "fallback to another platform", "job_id": moved.as_str(),
        "from_platform": "a", "from_model": "gpt-4o-mini", "platform": "b", "model": "gpt-4o",
        "error_class": "bad_request", "attempt": 2,
    });
    line(&worker, fallback).await;

    let doomed = send(&stack, "[[status=500]]", json!({"fallback": false})).await;
    let outcome = stack.outcome(&doomed).await.unwrap();
    assert_eq!(outcome.state, JobState::Discarded);
    let dead = json!({
        "level": "WARN", "message": "job became a dead letter", "job_id": doomed.as_str(),
        "queue": "default", "platform": "a", "model": "gpt-4o-mini",
        "error_class": "overloaded", "attempt": 2,
    });
    line(&worker, dead).await;
    let log = std::fs::read_to_string(worker.log()).unwrap();
    assert!(!log.contains(PROMPT), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_dead_letter_has_a_line_and_success_has_none() {
    let stack = two("").await;
    let worker = stack.worker().unwrap();
    let doomed: Vec<String> = (0..200)
        .map(|n| json!({"prompt": format!("[[status=400]] {n}")}).to_string())
        .collect();
    let doomed = stack.enqueue(&doomed).await.unwrap();
    let fine = stack.enqueue(&prompts(50)).await.unwrap();
    stack.outcomes(&doomed).await.unwrap();
    stack.successes(&fine).await.unwrap();
    let message = json!({"message": "job became a dead letter"});
    let named = |lines: Vec<Value>| -> BTreeSet<String> {
        let ids = lines.iter().filter_map(|line| line["job_id"].as_str());
        ids.map(str::to_owned).collect()
    };
    let expected = doomed.iter().map(|id| id.as_str().to_owned()).collect();
    let dead = eventually("every dead letter has its line", || async {
        let dead = matching(&worker, &message);
        ensure!(dead.len() >= doomed.len(), "{} lines", dead.len());
        Ok(dead)
    })
    .await
    .unwrap();
    assert_eq!(dead.len(), doomed.len());
    assert_eq!(named(dead), expected);
    assert_eq!(named(lines(worker.log())), expected, "no line per success");
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_jobs_have_a_line_with_their_cause_and_a_hold_has_a_beginning_and_an_end() {
    let stack = two("").await;
    let (_scheduler, worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let pause = ["pause", "type", "report", "--reason", "maintenance"];
    expect_success(stack.longshore(&pause).await.unwrap());
    let paused = send(&stack, "", json!({"type": "report"})).await;
    let parked = json!({
        "level": "INFO", "message": "job parked", "job_id": paused.as_str(), "cause": "paused",
    });
    line(&worker, parked).await;

    let only = json!({"fallback": false});
    let markers = "[[fail_first=1:429]] [[retry_after=3600]]";
    let first = send(&stack, markers, only.clone()).await;
    let held = json!({
        "level": "WARN", "account": "a", "error_class": "rate_limited",
        "message": "account held: its provider refused a call for a limit",
    });
    let held = line(&worker, held).await;
    assert!(held["until"].as_str().unwrap().ends_with('Z'), "{held}");
    let parked = json!({
        "level": "INFO", "message": "job parked", "job_id": first.as_str(),
        "cause": "no platform is available", "last_platform": "a", "attempt": 1,
    });
    let parked = line(&worker, parked).await;
    assert!(parked["until"].as_str().unwrap().ends_with('Z'), "{parked}");
    let second = send(&stack, "", only).await;
    let parked = json!({
        "message": "job parked", "job_id": second.as_str(), "cause": "no platform is available",
    });
    line(&worker, parked).await;

    let resume = ["resume", "provider", "a", "--now"];
    expect_success(stack.longshore(&resume).await.unwrap());
    stack.successes(&[second]).await.unwrap();
    let released = json!({
        "level": "INFO", "message": "account released: its hold has ended", "account": "a",
    });
    line(&worker, released).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_parked_jobs_do_not_flood_the_log() {
    const JOBS: usize = 3_000;
    let stack = two("").await;
    let worker = stack.worker().unwrap();
    let pause = ["pause", "provider", "a"];
    expect_success(stack.longshore(&pause).await.unwrap());
    let job = json!({"prompt": "hello", "platform": "a", "fallback": false}).to_string();
    stack.enqueue(&vec![job; JOBS]).await.unwrap();
    let (written, left_out) = eventually("all lines are written or counted", || async {
        let parked = matching(&worker, &json!({"message": "job parked"})).len();
        let counts = matching(&worker, &json!({"kind": "parked jobs", "level": "WARN"}));
        let counted: u64 = counts
            .iter()
            .filter_map(|line| line["left_out"].as_u64())
            .sum();
        ensure!(
            parked as u64 + counted == JOBS as u64,
            "{parked} + {counted}"
        );
        Ok((parked, counted))
    })
    .await
    .unwrap();
    assert!((500..=1_500).contains(&written), "{written}, {left_out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_has_a_line_when_it_opens_and_when_it_closes() {
    let stack = two("circuit: {cooldown: 100ms, max_cooldown: 200ms}").await;
    let (_scheduler, worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let down = Faults {
        rate_503: 1.0,
        ..Faults::default()
    };
    stack.simulator.set_faults(Some("a"), down).unwrap();
    let ids = stack.enqueue(&prompts(50)).await.unwrap();
    stack.successes(&ids).await.unwrap();
    let opened = json!({
        "level": "WARN", "message": "circuit opened: too many calls failed",
        "platform": "a", "model": "gpt-4o-mini", "error_class": "overloaded",
    });
    let opened = line(&worker, opened).await;
    assert!(opened["until"].is_string(), "{opened}");
    stack
        .simulator
        .set_faults(Some("a"), Faults::default())
        .unwrap();
    let closed = json!({
        "level": "INFO", "message": "circuit closed: the probe succeeded",
        "platform": "a", "model": "gpt-4o-mini",
    });
    eventually("a probe closes the circuit", || async {
        let some = stack.enqueue(&prompts(1)).await?;
        stack.successes(&some).await?;
        ensure!(!matching(&worker, &closed).is_empty());
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheduler_logs_its_leadership_and_each_dead_worker() {
    let stack = Stack::start(Options::with_latency(Duration::from_mins(1)))
        .await
        .unwrap();
    let first = stack.scheduler().unwrap();
    let leads = line(
        &first,
        json!({"level": "INFO", "message": "became the leader"}),
    )
    .await;
    assert!(leads["scheduler"].is_string(), "{leads}");
    let mut worker = stack.worker().unwrap();
    stack.enqueue(&prompts(5)).await.unwrap();
    stack.wait_for_calls(5).await.unwrap();
    let started = line(
        &worker,
        json!({"message": "worker started", "target": "longshore_worker::worker"}),
    )
    .await;
    worker.kill().unwrap();
    let died = json!({
        "level": "WARN", "message": "worker died; its entries were recovered",
        "worker": started["worker"], "queue": "default", "entries": 5, "lost_attempts": 5,
    });
    line(&first, died).await;
    let log = first.log().to_owned();
    first.shut_down().await.unwrap();
    let resigned = lines(&log)
        .into_iter()
        .find(|line| line["message"] == "resigned as the leader")
        .context("the leader resigns")
        .unwrap();
    assert_eq!(resigned["scheduler"], leads["scheduler"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_parked_for_a_limit_names_it_and_one_for_its_own_time_has_no_line() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let only = [SimulatedProvider::limited(
        "a",
        Model::Cheap,
        "{requests_per_day: 1}",
    )];
    let yaml = config_yaml(&stack, &only, QUICK);
    stack.config_yaml(&yaml).unwrap();
    let worker = stack.worker().unwrap();
    let delayed = send(&stack, "", json!({"delay": 3600})).await;
    let first = send(&stack, "", json!({})).await;
    stack.successes(&[first]).await.unwrap();
    let second = send(&stack, "", json!({})).await;
    let parked = json!({
        "level": "INFO", "message": "job parked", "job_id": second.as_str(), "cause": "limit",
        "lane": "rpd:a",
    });
    let parked = line(&worker, parked).await;
    assert!(parked["until"].as_str().unwrap().ends_with('Z'), "{parked}");
    let of_delayed = matching(&worker, &json!({"job_id": delayed.as_str()}));
    assert!(of_delayed.is_empty(), "{of_delayed:#?}");
}

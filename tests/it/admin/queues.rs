//! What `queues` shows, and moving jobs between queues.

use anyhow::ensure;
use longshore_protocol::{id::JobId, state::JobState};
use longshore_tests::stack::{Options, Process, Stack, eventually, expect_success};

use super::{json, wait_for_lane};

/// A stack whose only worker has one slot, taken by a job of tenant `a`.
async fn stack_without_a_free_slot() -> (Stack, Process) {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    stack.set_env("LONGSHORE_CONCURRENCY", "1");
    let worker = stack.worker().unwrap();
    let first = [("prompt", "[[hold]] x"), ("tenant", "a")];
    let _running = stack.xadd(&first).await.unwrap();
    stack.wait_for_calls(1).await.unwrap();
    (stack, worker)
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_for_their_tenants_turn_count_as_available() {
    let (stack, _worker) = stack_without_a_free_slot().await;
    let waiting = [("prompt", "x"), ("tenant", "b")];
    let id = stack.xadd(&waiting).await.unwrap();
    wait_for_lane(&stack, "tenant:default:b", 1).await;
    let status = json(&stack, &["queues"]).await.unwrap();
    let queue = &status["queues"][0];
    assert_eq!(
        (&queue["available"], &queue["running"]),
        (&1.into(), &1.into())
    );
    let oldest = queue["oldest_at"].as_str().unwrap();
    let received = id.as_str().split_once('-').unwrap().0.parse().unwrap();
    let received = chrono::DateTime::from_timestamp_millis(received).unwrap();
    assert_eq!(oldest.parse(), Ok(received));
    let listed = json(&stack, &["jobs", "list", "--state", "available"])
        .await
        .unwrap();
    assert_eq!(listed[0]["state"], "available", "{listed:#}");
    let shown = expect_success(stack.longshore(&["status"]).await.unwrap());
    assert!(
        shown.contains("default: 1 available, 1 running, oldest "),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn moved_jobs_keep_their_ids_and_run_in_the_other_queue() {
    let (mut stack, worker) = stack_without_a_free_slot().await;
    let own = [("prompt", "x"), ("tenant", "b"), ("id", "inv-1")];
    let _receipt = stack.xadd(&own).await.unwrap();
    wait_for_lane(&stack, "tenant:default:b", 1).await;
    drop(worker);
    let queued = vec![r#"{"prompt":"x","keep_result":true}"#.to_owned(); 150];
    let mut moved = stack.enqueue(&queued).await.unwrap();
    moved.push(JobId::parse("inv-1").unwrap());

    let command = ["queues", "move", "default", "bulk"];
    let unsure = stack.longshore(&command).await.unwrap();
    assert_eq!(unsure.code, Some(2), "no terminal to ask on: {unsure:?}");
    let dry = stack
        .longshore(&[&command[..], &["--dry-run"]].concat())
        .await
        .unwrap();
    assert!(
        dry.stdout
            .starts_with("151 jobs would move to queue `bulk`:"),
        "{dry:?}"
    );
    let yes = [&command[..], &["--yes"]].concat();
    let ran = stack.longshore(&yes).await.unwrap();
    assert_eq!(
        ran.stdout.trim(),
        "moved 151 jobs to queue `bulk`",
        "{ran:?}"
    );
    for wrong in [["default", "default"], ["defualt", "bulk"]] {
        let arguments = [&["queues", "move", "--yes"], &wrong[..]].concat();
        let ran = stack.longshore(&arguments).await.unwrap();
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }

    stack.set_env("LONGSHORE_QUEUES", "bulk");
    stack.set_env("LONGSHORE_CONCURRENCY", "100");
    let _worker = stack.worker().unwrap();
    for outcome in stack.outcomes(&moved).await.unwrap() {
        assert_eq!((outcome.state, outcome.attempts), (JobState::Completed, 1));
    }
    eventually("the other queue is empty", || async {
        let status = json(&stack, &["queues"]).await?;
        let bulk = status["queues"].as_array().into_iter().flatten();
        let mut bulk = bulk.filter(|queue| queue["queue"] == "bulk");
        ensure!(bulk.all(|queue| queue["available"] == 0), "{status:#}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_queue_that_no_worker_has_read_are_moved_and_purged() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let send = async |stack: &Stack, queue: &str, count: usize| {
        for _ in 0..count {
            let job = ["submit", "-p", "x", "--detach", "--queue", queue];
            expect_success(stack.longshore(&job).await.unwrap());
        }
    };
    send(&stack, "unread", 2).await;
    let moved = ["queues", "move", "unread", "other", "--yes"];
    let moved = expect_success(stack.longshore(&moved).await.unwrap());
    assert!(moved.contains("2 jobs"), "{moved}");
    let purged = ["queues", "purge", "other", "--yes"];
    let purged = expect_success(stack.longshore(&purged).await.unwrap());
    assert!(purged.contains("2 jobs"), "{purged}");
    stack.set_env("LONGSHORE_QUEUES", "other");
    let _worker = stack.worker().unwrap();
    eventually("the first worker of the queue ends them", || async {
        let list = ["jobs", "list", "--state", "cancelled"];
        let ended = json(&stack, &list).await?;
        ensure!(
            ended.as_array().is_some_and(|jobs| jobs.len() == 2),
            "{ended}"
        );
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(stack.simulator.stats().requests, 0);
}

//! Bumping jobs to the head of their queues.

use std::{collections::BTreeSet, time::Duration};

use longshore_protocol::{
    id::{JobId, QueueName},
    state::{AttemptOutcome, JobState},
};
use longshore_tests::stack::{Options, Process, Ran, Stack, expect_success};
use serde_json::Value;

use super::{explain, json, wait_for_lane};

/// A stack whose only worker has one slot, taken by a call that is held.
async fn stack_without_a_free_slot(fields: &[(&str, &str)]) -> (Stack, Process) {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    stack.set_env("LONGSHORE_CONCURRENCY", "1");
    let worker = stack.worker().unwrap();
    let first = [&[("prompt", "[[hold]] first")], fields].concat();
    let _running = stack.xadd(&first).await.unwrap();
    stack.wait_for_calls(1).await.unwrap();
    (stack, worker)
}

async fn bump(stack: &Stack, ids: &[&str]) -> Ran {
    let words = [&["jobs", "bump"], ids].concat();
    stack.longshore(&words).await.unwrap()
}

/// The jobs' names, which are the last words of their prompts, in the order of the calls.
fn order_of_calls(stack: &Stack) -> Vec<String> {
    let kept = stack.simulator.requests().into_iter();
    kept.map(|request| {
        let text = request.body.to_string();
        let name = text.split("named ").nth(1).unwrap();
        name.chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect()
    })
    .collect()
}

fn job(name: &str) -> String {
    format!("[[keep]] named {name}")
}

#[tokio::test(flavor = "multi_thread")]
async fn bumped_jobs_run_before_the_others_of_their_queue() {
    let (stack, _worker) = stack_without_a_free_slot(&[]).await;
    let mut receipts = Vec::new();
    for name in ["a", "b", "c"] {
        let fields = [("prompt", &*job(name)), ("keep_result", "true")];
        receipts.push(stack.xadd(&fields).await.unwrap());
    }
    let own = [
        ("prompt", &*job("d")),
        ("id", "inv-4"),
        ("metadata", r#"{"n":4}"#),
        ("keep_result", "true"),
    ];
    let _receipt = stack.xadd(&own).await.unwrap();

    let text = expect_success(bump(&stack, &["inv-4", receipts[2].as_str()]).await);
    let said = "bumped: workers take it before the new jobs of queue default; served by 1 worker";
    // The worker's heartbeat may have told already that it has no free slot.
    let text = text.replace(", all at capacity", "");
    assert_eq!(text, format!("inv-4: {said}\n{}: {said}\n", receipts[2]));
    let why = explain(&stack, &JobId::parse("inv-4").unwrap()).await;
    assert!(why.contains("available: next in queue default"), "{why}");
    let why = explain(&stack, &receipts[0]).await;
    assert!(why.contains("2 jobs ahead in queue default"), "{why}");
    let again = json(&stack, &["jobs", "bump", "inv-4"]).await.unwrap();
    assert_eq!(again[0]["result"], "already_first", "{again}");

    stack.simulator.release();
    let mut jobs = receipts.clone();
    jobs.push(JobId::parse("inv-4").unwrap());
    let outcomes = stack.outcomes(&jobs).await.unwrap();
    assert_eq!(order_of_calls(&stack), ["d", "c", "a", "b"]);
    assert!(outcomes.iter().all(|outcome| outcome.attempts == 1));
    assert_eq!(outcomes[3].metadata.as_ref().unwrap()["n"], 4);
    for id in ["inv-4", receipts[2].as_str()] {
        let shown = json(&stack, &["jobs", "show", id]).await.unwrap();
        assert_eq!(shown["id"], id, "{shown}");
    }
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bumped_job_does_not_wait_for_the_turn_of_its_tenant() {
    let (stack, _worker) = stack_without_a_free_slot(&[("tenant", "a")]).await;
    let mut ids = Vec::new();
    for name in ["x", "y", "z"] {
        let fields = [
            ("prompt", &*job(name)),
            ("tenant", "b"),
            ("id", name),
            ("keep_result", "true"),
        ];
        let _receipt = stack.xadd(&fields).await.unwrap();
        ids.push(JobId::parse(name).unwrap());
    }
    wait_for_lane(&stack, "tenant:default:b", 3).await;
    expect_success(bump(&stack, &["z"]).await);
    wait_for_lane(&stack, "tenant:default:b", 2).await;
    stack.simulator.release();
    stack.successes(&ids).await.unwrap();
    assert_eq!(order_of_calls(&stack), ["z", "x", "y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_wait_in_its_queue_is_explained() {
    let (stack, _worker) = stack_without_a_free_slot(&[("id", "running")]).await;
    let _scheduler = stack.scheduler().unwrap();
    let submit = ["submit", "-p", "x", "--detach", "--id"];
    let send = async |id: &str, options: &[&str]| {
        let words = [&submit[..], &[id], options].concat();
        expect_success(stack.longshore(&words).await.unwrap());
    };
    send("unread", &["--queue", "nobody-reads"]).await;
    let unread = expect_success(bump(&stack, &["unread"]).await);
    assert!(unread.contains("bumped: workers take it"), "{unread}");
    let said = "; 1 worker running, but none pulls from queue nobody-reads";
    assert!(unread.contains(said), "{unread}");
    let mut idle = stack.worker().unwrap();
    send("later", &["--delay", "3600"]).await;
    wait_for_lane(&stack, "time", 1).await;
    send("ended", &[]).await;
    stack
        .outcome(&JobId::parse("ended").unwrap())
        .await
        .unwrap();
    idle.kill().unwrap();

    let ran = bump(&stack, &["running", "later", "ended", "nobody"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for text in [
        "running: not bumped: not waiting: in flight on worker ",
        "later: not bumped: waiting for its start time",
        "; `longshore jobs run-now later` runs it now",
        "ended: already ended: completed\n",
    ] {
        assert!(ran.stdout.contains(text), "{text}: {ran:?}");
    }
    assert!(ran.stderr.contains("no job `nobody`"), "{ran:?}");
}

/// A worker may read an entry while it is bumped, and die with it before or after.
#[tokio::test(flavor = "multi_thread")]
async fn each_job_runs_once_when_jobs_are_bumped_while_workers_read_and_die() {
    let mut stack = Stack::start(Options::with_latency(Duration::from_millis(50)))
        .await
        .unwrap();
    stack.set_env("LONGSHORE_CONCURRENCY", "4");
    let _scheduler = stack.scheduler().unwrap();
    let job = r#"{"prompt":"x","keep_result":true}"#.to_owned();
    let ids = stack.enqueue(&vec![job; 300]).await.unwrap();
    let mut doomed = stack.worker().unwrap();
    stack.wait_for_calls(1).await.unwrap();
    let mut bumped = 0;
    for (number, page) in ids.rchunks(10).enumerate() {
        let page: Vec<&str> = page.iter().map(JobId::as_str).collect();
        let words = [&["jobs", "bump", "--format", "json"], &page[..]].concat();
        let ran = stack.longshore(&words).await.unwrap();
        let answers: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
        let is_bumped = |answer: &&Value| answer["result"] == "bumped";
        bumped += answers.iter().filter(is_bumped).count();
        if number == 8 {
            doomed.kill().unwrap();
            doomed = stack.worker().unwrap();
        }
    }
    assert!(bumped > 50, "{bumped}");
    let outcomes = stack.successes(&ids).await.unwrap();
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.state == JobState::Completed)
    );
    let books = stack.books().await.unwrap();
    books.balance();
    let settled = books
        .ledger
        .iter()
        .filter(|row| row.outcome == AttemptOutcome::Completed && !row.duplicate);
    let settled: Vec<JobId> = settled.map(|row| row.job_id.clone()).collect();
    assert_eq!(settled.len(), 300);
    assert_eq!(settled.iter().collect::<BTreeSet<_>>().len(), 300);
    let depth = stack
        .broker
        .queues()
        .depth(&QueueName::default())
        .await
        .unwrap();
    assert_eq!((depth.available, depth.running), (0, 0));
}

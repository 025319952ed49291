//! Batches end to end: files of every format, killed producers, awaited results.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use longshore_broker::BatchReport;
use longshore_protocol::chain::{ChainId, ChainState};
use longshore_tests::stack::{Options, Stack, eventually, expect_success};
use serde_json::Value;

use crate::machine::{print_figures, size};

/// The most memory that a producer may use, in kB.
const MOST_MEMORY: u64 = 100 * 1024;

async fn stack() -> Stack {
    Stack::start(Options::default()).await.unwrap()
}

fn lines(count: usize) -> String {
    let mut text = String::new();
    for at in 0..count {
        writeln!(text, r#"{{"prompt":"task {at}","metadata":{{"at":{at}}}}}"#).unwrap();
    }
    text
}

fn results(stack: &Stack, name: &str) -> Value {
    let text = std::fs::read_to_string(stack.dir().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

async fn report(stack: &Stack, id: &str) -> Option<BatchReport> {
    let id = ChainId::parse(id).unwrap();
    stack.broker.batches().get(&id).await.unwrap()
}

/// A producer process in the background, killed when dropped.
struct Producer(Child);

impl Producer {
    fn start(stack: &Stack, arguments: &[&str]) -> Self {
        let mut command = stack.command("longshore").unwrap();
        command.args(arguments).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// The most memory that it has used so far, in kB.
    fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// Waits until it ends and returns the most memory that it was seen to use, in kB.
    async fn end(mut self) -> u64 {
        let mut most = 0;
        loop {
            most = self.memory().unwrap_or(0).max(most);
            if let Some(status) = self.0.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return most;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// Enqueues a file, kills the producer half-way, and runs the same command to its end. Returns the memory
/// that the second run used, in kB.
async fn run_killed_and_again(stack: &Stack, count: usize, arguments: &[&str]) -> u64 {
    let producer = Producer::start(stack, arguments);
    let killed = loop {
        match report(stack, "nightly").await {
            Some(report) if report.lines > 0 => {
                producer.kill();
                break self::report(stack, "nightly").await.unwrap();
            }
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert_eq!(killed.state, ChainState::Open);
    assert!(killed.lines < count as u64, "{} are in", killed.lines);
    let shown = expect_success(
        stack
            .longshore(&["batch", "show", "nightly"])
            .await
            .unwrap(),
    );
    assert!(shown.contains("State: open"), "{shown}");

    let again = Producer::start(stack, arguments);
    let (mut began, mut seen) = (None, 0);
    let (put, took) = loop {
        // A fast producer may have ended by now.
        seen = again.memory().unwrap_or(0).max(seen);
        let report = report(stack, "nightly").await.unwrap();
        if report.lines > killed.lines {
            let began = *began.get_or_insert_with(|| (report.lines, Instant::now()));
            if report.lines == count as u64 {
                break (report.lines - began.0, began.1.elapsed());
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let memory = again.end().await.max(seen);
    print_figures(&format!(
        "{count} tasks, killed after {}: {put} more in {took:?} ({:.0}/s), {memory} kB",
        killed.lines,
        f64::from(u32::try_from(put).unwrap()) / took.as_secs_f64()
    ));
    assert!((1..MOST_MEMORY).contains(&memory), "{memory} kB");
    memory
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_and_restarted_producer_enqueues_each_task_once() {
    const COUNT: usize = 20_000;
    let stack = stack().await;
    stack.write("tasks.jsonl", &lines(COUNT)).unwrap();
    let _worker = stack.worker().unwrap();
    let arguments = [
        "batch",
        "tasks.jsonl",
        "--id",
        "nightly",
        "--parallel",
        "400",
        "--output",
        "out.json",
    ];
    run_killed_and_again(&stack, COUNT, &arguments).await;
    let written = results(&stack, "out.json");
    assert_eq!(written["total_tasks"], COUNT);
    assert_eq!(written["success_count"], COUNT);
    for (at, result) in written["results"].as_array().unwrap().iter().enumerate() {
        assert_eq!(result["index"], at);
        assert_eq!(result["metadata"]["at"], at, "in the order of the file");
    }
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.invoice.len(), COUNT, "one call each");
    let jobs: BTreeSet<_> = books.ledger.iter().map(|row| &row.job_id).collect();
    assert_eq!(jobs.len(), COUNT, "each was answered once");
    assert_eq!(
        written["total_cost"].to_string(),
        stack.simulator.total_usd()
    );
}

/// The same with a longer file and without calls.
#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_length_of_the_file() {
    let count = size(30_000, 1_000_000);
    let stack = stack().await;
    stack.write("tasks.jsonl", &lines(count)).unwrap();
    let arguments = ["batch", "tasks.jsonl", "--id", "nightly", "--detach"];
    run_killed_and_again(&stack, count, &arguments).await;
    let report = report(&stack, "nightly").await.unwrap();
    assert_eq!(report.state, ChainState::Running);
    assert_eq!(
        (report.lines, report.sent()),
        (count as u64, 5),
        "all are there, and as many in the queue as may run"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_with_the_same_id_is_rejected_and_the_same_file_makes_no_calls() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    stack.write("tasks.jsonl", &lines(30)).unwrap();
    let arguments = ["batch", "tasks.jsonl", "--id", "b1", "--output"];
    expect_success(
        stack
            .longshore(&[&arguments[..], &["one.json"]].concat())
            .await
            .unwrap(),
    );
    expect_success(
        stack
            .longshore(&[&arguments[..], &["two.json"]].concat())
            .await
            .unwrap(),
    );
    assert_eq!(results(&stack, "one.json"), results(&stack, "two.json"));
    assert_eq!(stack.simulator.stats().requests, 30);

    stack.write("tasks.jsonl", &lines(31)).unwrap();
    let ran = stack
        .longshore(&[&arguments[..], &["three.json"]].concat())
        .await
        .unwrap();
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr
            .contains("batch `b1` was started with other tasks: the "),
        "{}",
        ran.stderr
    );
    assert_eq!(stack.simulator.stats().requests, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_batch_does_not_continue_with_another_file() {
    let stack = stack().await;
    stack.write("tasks.jsonl", &lines(100_000)).unwrap();
    let producer = Producer::start(&stack, &["batch", "tasks.jsonl", "--id", "b1", "--detach"]);
    eventually("some are in", || async {
        let report = report(&stack, "b1").await;
        anyhow::ensure!(report.is_some_and(|report| report.lines > 0));
        Ok(())
    })
    .await
    .unwrap();
    producer.kill();
    let before = report(&stack, "b1").await.unwrap().lines;
    stack
        .write(
            "tasks.jsonl",
            &lines(100_000).replacen("task 7", "task seven", 1),
        )
        .unwrap();
    let ran = stack
        .longshore(&["batch", "tasks.jsonl", "--id", "b1", "--detach"])
        .await
        .unwrap();
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr
            .contains("stored tasks differ from the first tasks of this input"),
        "{}",
        ran.stderr
    );
    assert_eq!(report(&stack, "b1").await.unwrap().lines, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csv_batch_runs_and_its_results_are_read_after_redis_expired_them() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    stack
        .write(
            "rows.csv",
            "\u{feff}title,id,First name\r\n\"One, two\",row-1,Ann\r\n[[status=400]],,Bob\r\n",
        )
        .unwrap();
    let prompt = "Say {{ title }} to {{ row['First name'] }}";
    let arguments = ["batch", "rows.csv", "--prompt", prompt, "--fields", "id"];
    let printed = expect_success(
        stack
            .longshore(&[&arguments[..], &["--id", "rows", "--detach"]].concat())
            .await
            .unwrap(),
    );
    assert!(printed.contains("longshore batch wait rows"), "{printed}");
    let ran = stack
        .longshore(&["batch", "wait", "rows", "--output", "one.json"])
        .await
        .unwrap();
    assert_eq!(ran.code, Some(1), "one of them failed: {}", ran.stderr);
    let one = results(&stack, "one.json");
    assert_eq!(one["results"][0]["task_id"], "row-1");
    assert_eq!(one["results"][1]["task_id"], "rows/task/1");
    assert_eq!(
        (&one["success_count"], &one["failure_count"]),
        (&1.into(), &1.into())
    );

    stack.recorded().await.unwrap();
    let mut connection = stack.connection().await.unwrap();
    for id in ["row-1", "rows/task/1"] {
        let key = format!("{}:result:{id}", stack.broker.keys().prefix());
        let gone: u32 = redis::cmd("DEL")
            .arg(key)
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(gone, 1);
    }
    let _ran = stack
        .longshore(&["batch", "wait", "rows", "--output", "two.json"])
        .await
        .unwrap();
    assert_eq!(results(&stack, "two.json"), one, "out of the record");
    let shown = expect_success(stack.longshore(&["batch", "show", "rows"]).await.unwrap());
    assert!(
        shown.contains("Tasks: 2 of 2 done: 1 succeeded, 1 failed")
            && shown.contains("task 2 (index 1), rows/task/1: "),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_with_an_id_is_one_job_across_batches() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let tasks = |last: &str| {
        format!("{{\"prompt\":\"a\",\"id\":\"x-1\"}}\n{{\"prompt\":\"{last}\",\"id\":\"x-2\"}}\n")
    };
    stack.write("tasks.jsonl", &tasks("b")).unwrap();
    expect_success(
        stack
            .longshore(&["batch", "tasks.jsonl", "--id", "b1"])
            .await
            .unwrap(),
    );
    expect_success(
        stack
            .longshore(&["batch", "tasks.jsonl", "--id", "b2"])
            .await
            .unwrap(),
    );
    assert_eq!(
        stack.simulator.stats().requests,
        2,
        "the second made no call"
    );
    stack.write("tasks.jsonl", &tasks("c")).unwrap();
    let ran = stack
        .longshore(&["batch", "tasks.jsonl", "--id", "b3", "--format", "json"])
        .await
        .unwrap();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let third: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(third["results"][0]["success"], true);
    assert_eq!(third["results"][1]["error_class"], "id_conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_cancelled_batch_never_runs() {
    let stack = stack().await;
    stack.write("tasks.jsonl", &lines(20)).unwrap();
    expect_success(
        stack
            .longshore(&["batch", "tasks.jsonl", "--id", "b1", "--detach"])
            .await
            .unwrap(),
    );
    let id = ChainId::parse("b1").unwrap();
    stack.broker.chains().cancel(&id).await.unwrap();
    let _worker = stack.worker().unwrap();
    let ran = stack
        .longshore(&["batch", "wait", "b1", "--format", "json"])
        .await
        .unwrap();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let printed: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (&printed["total_tasks"], &printed["success_count"]),
        (&20.into(), &0.into())
    );
    assert_eq!(printed["results"][19]["error_class"], "cancelled");
    assert_eq!(stack.simulator.stats().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_failure_ends_a_batch_with_fail_fast() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    stack
        .write(
            "tasks.jsonl",
            &format!("{}\n{}", r#"{"prompt":"[[status=400]]"}"#, lines(200)),
        )
        .unwrap();
    let ran = stack
        .longshore(&[
            "batch",
            "tasks.jsonl",
            "--fail-fast",
            "--parallel",
            "1",
            "--format",
            "json",
        ])
        .await
        .unwrap();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let printed: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(printed["success_count"], 0);
    assert_eq!(printed["results"][0]["error_class"], "bad_request");
    assert_eq!(
        printed["results"][1]["error"],
        "another task failed before the task started (--fail-fast)"
    );
}

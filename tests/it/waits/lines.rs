//! Results of a batch as they come.

use std::{
    io::Read as _,
    process::{Command, Stdio},
};

use anyhow::ensure;
use longshore_protocol::chain::{ChainId, ChainState};
use longshore_tests::stack::{Stack, eventually};
use serde_json::Value;

use super::{FAST_RETRY, Running, assert_is_outcome, run, stack};

fn parsed(text: &str) -> anyhow::Result<Vec<Value>> {
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    let lines = complete.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

/// A task that does not end before the simulator releases it, and others that do.
fn one_held(count: usize) -> String {
    let rest = (1..count).map(|at| format!("{{\"prompt\":\"task {at}\"}}\n"));
    let first = "{\"prompt\":\"[[hold]] first\"}\n".to_owned();
    std::iter::once(first).chain(rest).collect()
}

fn indices(results: &[Value]) -> Vec<u64> {
    let indices = results.iter().map(|result| result["index"].as_u64());
    indices.collect::<Option<_>>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_printed_as_tasks_end_and_the_summary_to_stderr() {
    let stack = stack("{}", FAST_RETRY).await;
    let _worker = stack.worker().unwrap();
    stack.write("tasks.jsonl", &one_held(20)).unwrap();
    let arguments = ["batch", "tasks.jsonl", "--id", "b", "--format", "jsonl"];
    let batch = Running::start(&stack, &arguments);
    eventually("all but one are printed", || async {
        let printed = parsed(&batch.stdout())?;
        ensure!(printed.len() == 19, "{printed:?}");
        Ok(())
    })
    .await
    .unwrap();
    stack.simulator.release();
    let ran = batch.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let printed = parsed(&ran.stdout).unwrap();
    printed.iter().for_each(assert_is_outcome);
    let mut order = indices(&printed);
    assert_eq!(order.last(), Some(&0), "in the order of their ends");
    order.sort_unstable();
    assert_eq!(order, (0..20).collect::<Vec<u64>>());

    let messages = parsed(&ran.stderr).unwrap();
    let summary = &messages.last().unwrap()["summary"];
    assert_eq!(
        (&summary["id"], &summary["state"], &summary["success_count"]),
        (&"b".into(), &"completed".into(), &20.into()),
        "{summary:#}"
    );
    assert!(summary.get("results").is_none(), "{summary:#}");
    assert_eq!(summary["cost_usd"], stack.simulator.total_usd());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_lines_is_written_as_tasks_end_and_again_by_batch_wait() {
    let stack = stack("{}", FAST_RETRY).await;
    let _worker = stack.worker().unwrap();
    stack.write("tasks.jsonl", &one_held(20)).unwrap();
    let arguments = ["batch", "tasks.jsonl", "--id", "b", "--output", "out.jsonl"];
    let batch = Running::start(&stack, &arguments);
    let file = stack.dir().join("out.jsonl");
    eventually("all but one are written", || async {
        let written = parsed(&std::fs::read_to_string(&file)?)?;
        ensure!(written.len() == 19, "{written:?}");
        Ok(())
    })
    .await
    .unwrap();
    stack.simulator.release();
    let ran = batch.end().await;
    assert!(
        ran.stdout.contains("Results saved to: out.jsonl"),
        "{ran:?}"
    );
    let written = parsed(&std::fs::read_to_string(&file).unwrap()).unwrap();
    written.iter().for_each(assert_is_outcome);
    assert_eq!(indices(&written).last(), Some(&0));

    run(&stack, "batch wait b --output again.ndjson").await;
    let again = std::fs::read_to_string(stack.dir().join("again.ndjson")).unwrap();
    let again = indices(&parsed(&again).unwrap());
    assert_eq!(again, (0..20).collect::<Vec<u64>>());
}

/// Enough text that no pipe holds it all.
fn long_tasks(count: usize) -> String {
    let text = "x".repeat(8_000);
    let task = |at| format!("{{\"prompt\":\"[[echo={at} {text}]]\"}}\n");
    (0..count).map(task).collect()
}

async fn has_completed(stack: &Stack, id: &str) {
    let id = ChainId::parse(id).unwrap();
    eventually("the batch completes", || async {
        let report = stack.broker.batches().get(&id).await?;
        let state = report.map(|report| report.state);
        ensure!(state == Some(ChainState::Completed), "{state:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_reads_late_gets_every_result() {
    let stack = stack("{}", FAST_RETRY).await;
    let _worker = stack.worker().unwrap();
    stack.write("tasks.jsonl", &long_tasks(200)).unwrap();
    let mut command = stack.command("longshore").unwrap();
    command.args(["batch", "tasks.jsonl", "--id", "b", "--format", "jsonl"]);
    let mut batch = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    has_completed(&stack, "b").await;
    let mut text = String::new();
    let mut stdout = batch.stdout.take().unwrap();
    stdout.read_to_string(&mut text).unwrap();
    assert!(batch.wait().unwrap().success());
    assert_eq!(parsed(&text).unwrap().len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_hangs_up_does_not_break_the_batch() {
    let stack = stack("{}", FAST_RETRY).await;
    let _worker = stack.worker().unwrap();
    stack.write("tasks.jsonl", &long_tasks(200)).unwrap();
    let longshore = stack.command("longshore").unwrap();
    let program = longshore.get_program().to_str().unwrap();
    let line = format!(
        "{program} batch tasks.jsonl --id b --format jsonl | head -n 1; exit ${{PIPESTATUS[0]}}"
    );
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &line])
        .current_dir(stack.dir())
        .env_clear()
        .envs(stack.env());
    let ran = Running::spawn(&stack, shell).end().await;
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert_eq!(parsed(&ran.stdout).unwrap().len(), 1);
    let last = parsed(&ran.stderr).unwrap().pop().unwrap();
    let note = last["note"].as_str().unwrap();
    assert!(
        note.starts_with("Stopped waiting: ") && note.contains("`longshore batch wait b`"),
        "{note}"
    );
    has_completed(&stack, "b").await;
    let waited = run(&stack, "batch wait b").await;
    assert!(waited.contains("Success: 200"), "{waited}");
}

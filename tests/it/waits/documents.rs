//! The JSON of results, and errors of files without services.

use longshore_tests::stack::{Launcher, Ran};
use serde_json::Value;

use super::{FAST_RETRY, assert_is_outcome, run, stack};

fn document(ran: &Ran) -> Value {
    let document = serde_json::from_str(&ran.stdout);
    document
        .map_err(|error| format!("{error}: {ran:?}"))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_submit_prints_is_an_outcome() {
    let stack = stack("{}", FAST_RETRY).await;
    let _worker = stack.worker().unwrap();
    let submit = async |arguments: &[&str]| {
        let arguments = [&["submit", "--format", "json"], arguments].concat();
        document(&stack.longshore(&arguments).await.unwrap())
    };
    let completed = submit(&["-p", "Hello", "--id", "one", "-o", "out.json"]).await;
    let failed = submit(&["-p", "[[status=400]]"]).await;
    let refused = submit(&["-p", "Other", "--id", "one"]).await;
    for (answer, state) in [
        (&completed, "completed"),
        (&failed, "discarded"),
        (&refused, "discarded"),
    ] {
        assert_is_outcome(answer);
        assert_eq!(answer["state"], state, "{answer:#}");
        assert_eq!(answer["task_id"], answer["id"]);
    }
    assert_eq!(refused["error_class"], "id_conflict");
    assert_eq!(completed["finish_reason"], "stop");
    let saved = std::fs::read_to_string(stack.dir().join("out.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&saved).unwrap(), completed);

    let detached = submit(&["-p", "Hello", "--detach"]).await;
    assert!(detached["id"].is_string(), "{detached}");
    assert_eq!(detached["task_id"], detached["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_result_of_a_batch_is_an_outcome() {
    let stack = stack("{}", FAST_RETRY).await;
    let _worker = stack.worker().unwrap();
    run(&stack, "submit -p Hello --id taken").await;
    let tasks = [
        r#"{"prompt":"fine"}"#,
        r#"{"prompt":"[[status=400]]"}"#,
        r#"{"prompt":"Other","id":"taken"}"#,
    ];
    stack.write("tasks.jsonl", &tasks.join("\n")).unwrap();
    let arguments = ["batch", "tasks.jsonl", "--id", "b", "--format", "json"];
    let ran = stack.longshore(&arguments).await.unwrap();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let report = document(&ran);
    let results = report["results"].as_array().unwrap();
    for (at, result) in results.iter().enumerate() {
        assert_is_outcome(result);
        assert_eq!(result["index"], at);
    }
    let states: Vec<&Value> = results.iter().map(|result| &result["state"]).collect();
    assert_eq!(states, ["completed", "discarded", "discarded"]);
    assert_eq!(
        (&report["id"], &report["chain_id"]),
        (&"b".into(), &"b".into())
    );
    assert_eq!(report["state"], "failed", "{report:#}");
    let cost: f64 = report["cost_usd"].as_str().unwrap().parse().unwrap();
    assert_eq!(report["total_cost"], cost, "{report:#}");
    assert!(report["duration_ms"].is_u64(), "{report:#}");

    let fail_fast = [
        "batch",
        "tasks.jsonl",
        "--format",
        "json",
        "--fail-fast",
        "--parallel",
        "1",
    ];
    stack
        .write("tasks.jsonl", &[tasks[1], tasks[0], tasks[0]].join("\n"))
        .unwrap();
    let ran = stack.longshore(&fail_fast).await.unwrap();
    let report = document(&ran);
    assert_eq!(report["state"], "failed", "{report:#}");
    let unstarted = &report["results"][2];
    assert_is_outcome(unstarted);
    assert_eq!(unstarted["state"], "cancelled");

    let ran = stack
        .longshore(&[
            "batch",
            "tasks.jsonl",
            "--id",
            "d",
            "--format",
            "json",
            "--detach",
        ])
        .await
        .unwrap();
    let detached = document(&ran);
    assert_eq!(
        (&detached["id"], &detached["chain_id"]),
        (&"d".into(), &"d".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_checked_before_services() {
    let directory = tempfile::tempdir().unwrap();
    let nothing = Launcher::new(
        directory.path(),
        &[
            ("REDIS_URL", "redis://127.0.0.1:1"),
            ("DATABASE_URL", "postgres://127.0.0.1:1/none"),
        ],
    );
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("wrong.jsonl", "{\"prompt\":\"fine\"}\n{\"promt\":\"x\"}\n");
    write("chain.json", r#"{"steps":[]}"#);
    write("job.json", r#"{"prompt":"x","timeout":"soon"}"#);
    for (command, named) in [
        ("batch missing.json", "missing.json cannot be read: "),
        ("batch wrong.jsonl", "wrong.jsonl: task 2 (index 1): "),
        (
            "batch wrong.jsonl --output /dev/null/x",
            "--output: `/dev/null/x` ",
        ),
        (
            "batch wait b --output /dev/null/x",
            "--output: `/dev/null/x` ",
        ),
        (
            "submit -p x --output /dev/null/x",
            "--output: `/dev/null/x` ",
        ),
        ("submit -p x --metadata {", "--metadata: "),
        ("submit -p x --platform skynet", "--platform: "),
        ("run --tasks missing.yaml", "missing.yaml cannot be read: "),
        ("chain run missing.json", "missing.json cannot be read: "),
        ("chain run chain.json", "chain.json:1: "),
        (
            "cron add nightly --schedule @daily --job missing.json",
            "--job missing.json: ",
        ),
        (
            "cron add nightly --schedule never --prompt x",
            "--schedule: ",
        ),
        (
            "dlq edit 1-0 --file missing.json",
            "missing.json cannot be read: ",
        ),
        (
            "dlq edit 1-0 --file job.json",
            "the message would be malformed ",
        ),
    ] {
        let words: Vec<&str> = command.split_whitespace().collect();
        let ran = nothing.longshore(&words).await.unwrap();
        assert_eq!(ran.code, Some(2), "{command}: {ran:?}");
        assert!(
            ran.stderr.starts_with(&format!("Error: {named}")),
            "{command}: {}",
            ran.stderr
        );
    }
}

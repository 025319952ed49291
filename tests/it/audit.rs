//! The audit: who changed what with a command, when, and how it ended.

use std::process::Stdio;

use longshore_tests::{
    dead_letters,
    stack::{Options, Stack, eventually, expect_success, own_postgres},
};
use serde_json::{Value, json};

/// Commands that change something, in an order in which each finds what it changes; what is recorded of it, how many
/// things it changed, and how it ended.
const ACTS: &[(&str, &str, u64, &str)] = &[
    ("jobs cancel later nobody", "later nobody", 1, "done"),
    ("jobs cancel nobody", "nobody", 0, "failed"),
    (
        "jobs cancel --all --tenant acme --yes",
        "--all --tenant acme",
        2,
        "done",
    ),
    ("jobs bump idle", "idle", 1, "done"),
    ("jobs bump idle", "idle", 0, "done"),
    ("jobs run-now delayed", "delayed", 1, "done"),
    (
        "pause queue bulk --for 1h --reason tests",
        "queue bulk --reason tests --for 1h",
        1,
        "done",
    ),
    ("resume queue bulk", "queue bulk", 1, "done"),
    ("resume queue bulk", "queue bulk", 0, "failed"),
    ("queues move idle other --yes", "idle other", 2, "done"),
    ("queues purge other --yes", "other", 2, "done"),
    (
        "dlq edit dead --set prompt=hello",
        "dead --set prompt=…",
        1,
        "done",
    ),
    ("dlq replay dead", "dead", 1, "done"),
    ("dlq purge other-dead --yes", "other-dead", 1, "done"),
    (
        "cron add nightly --schedule @daily -p secret",
        "nightly --schedule @daily --prompt …",
        1,
        "done",
    ),
    ("cron pause nightly", "nightly", 1, "done"),
    ("cron resume nightly", "nightly", 1, "done"),
    ("cron run nightly", "nightly", 1, "done"),
    ("cron remove nightly", "nightly", 1, "done"),
    ("chain retry failing", "failing", 1, "done"),
    ("chain cancel slow", "slow", 1, "done"),
    ("batch retry bundle", "bundle", 1, "done"),
    ("batch cancel endless", "endless", 1, "done"),
    ("config push other.yaml --yes", "other.yaml", 1, "done"),
    ("config push --clear --yes", "--clear", 1, "done"),
    (
        "review approve asked/a --comment secret",
        "asked/a --comment …",
        1,
        "done",
    ),
    (
        "review edit asked/b --file other.yaml",
        "asked/b --file other.yaml",
        1,
        "done",
    ),
    ("review reject asked/c nobody", "asked/c nobody", 1, "done"),
    ("migrate", "", 0, "done"),
    (
        "queues move nowhere other --yes",
        "nowhere other",
        0,
        "failed",
    ),
];

/// The words of the command.
fn command_of(line: &str) -> String {
    let first = line.split(' ').next().unwrap_or_default();
    let count = if ["migrate", "pause", "resume"].contains(&first) {
        1
    } else {
        2
    };
    line.split(' ').take(count).collect::<Vec<_>>().join(" ")
}

async fn run(stack: &Stack, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    stack.longshore(&words).await.unwrap();
}

/// What the acts need: jobs, chains, batches and a dead letter.
async fn prepare(stack: &Stack) {
    let failing = json!({"steps": [{"name": "a", "prompt": "[[status=400]]", "fallback": false}]});
    let slow = json!({"steps": [{"name": "a", "prompt": "[[latency=60000]]"}]});
    let asking = |name: &str| json!({"name": name, "person": {"question": "Yes?"}});
    let asked = json!({"steps": [asking("a"), asking("b"), asking("c")]});
    for (name, text) in [
        ("asked.json", asked.to_string()),
        ("failing.json", failing.to_string()),
        ("slow.json", slow.to_string()),
        (
            "failing.jsonl",
            "{\"prompt\":\"[[status=400]]\",\"fallback\":false}\n".to_owned(),
        ),
        (
            "slow.jsonl",
            "{\"prompt\":\"[[latency=60000]]\"}\n".to_owned(),
        ),
        ("other.yaml", "retry: {max_retries: 7}\n".to_owned()),
    ] {
        stack.write(name, &text).unwrap();
    }
    for line in [
        "chain run asked.json --id asked --detach",
        "submit -p x --id later --delay 3600 --detach",
        "submit -p x --id delayed --delay 3600 --detach",
        "submit -p x --delay 3600 --detach --tenant acme",
        "submit -p x --delay 3600 --detach --tenant acme",
        "submit -p x --detach --queue idle --id idle",
        "submit -p x --detach --queue idle",
        "submit -p [[status=400]] --id dead --no-fallback",
        "submit -p [[status=400]] --id other-dead --no-fallback",
        "chain run failing.json --id failing",
        "chain run slow.json --id slow --detach",
        "batch failing.jsonl --id bundle",
        "batch slow.jsonl --id endless --detach",
    ] {
        run(stack, line).await;
    }
}

async fn audit(stack: &Stack, options: &[&str]) -> Vec<Value> {
    stack.recorded().await.unwrap();
    let arguments = [&["audit", "--format", "json"], options].concat();
    let text = expect_success(stack.longshore(&arguments).await.unwrap());
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_changes_something_leaves_a_row() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    stack.set_env("LONGSHORE_ACTOR", "ann (via chat)");
    let (_worker, _scheduler) = (stack.worker().unwrap(), stack.scheduler().unwrap());
    prepare(&stack).await;
    for (line, ..) in ACTS {
        run(&stack, line).await;
    }
    run(&stack, "jobs cancel --all --dry-run").await;
    run(&stack, "migrate --check").await;
    let mut rows = audit(&stack, &["--limit", "1000"]).await;
    rows.reverse();
    let seen: Vec<String> = rows
        .iter()
        .map(|row| {
            assert_eq!(row["actor"], "ann (via chat)", "{row}");
            format!(
                "{} | {} | {} | {}",
                row["command"], row["what"], row["affected"], row["outcome"]
            )
        })
        .collect();
    let expected: Vec<String> = ACTS
        .iter()
        .map(|(line, what, affected, outcome)| {
            let command = command_of(line);
            format!("{command:?} | {what:?} | {affected} | {outcome:?}")
        })
        .collect();
    assert_eq!(seen, expected, "{rows:#?}");
    let error = rows.last().unwrap()["error"].as_str().unwrap();
    assert!(error.contains("nowhere"), "{error}");
    assert_eq!(audit(&stack, &["--command", "dlq"]).await.len(), 3);
    assert_eq!(
        audit(&stack, &["--command", "jobs cancel", "--actor", "bob"]).await,
        [] as [Value; 0]
    );
    let table = expect_success(stack.longshore(&["audit", "--limit", "3"]).await.unwrap());
    assert!(
        table.contains("ann (via chat)") && table.contains("queues move"),
        "{table}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_waits_in_redis_while_postgres_is_away() {
    let mut postgres = own_postgres().await.unwrap();
    let stack = Stack::start_with(Options::default(), postgres.url())
        .await
        .unwrap();
    let _worker = stack.worker().unwrap();
    run(&stack, "submit -p x").await;
    stack.recorded().await.unwrap();
    postgres.stop().await.unwrap();
    expect_success(stack.longshore(&["pause", "queue", "bulk"]).await.unwrap());
    postgres.restart().await.unwrap();
    let rows = audit(&stack, &[]).await;
    let [row] = &*rows else { panic!("{rows:?}") };
    assert_eq!(
        (&row["command"], &row["outcome"]),
        (&json!("pause"), &json!("done"))
    );
    assert!(row["actor"].as_str().unwrap().contains('@'), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_act_has_begun() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let mut connection = stack.connection().await.unwrap();
    dead_letters::write(&stack.broker, &mut connection, 100)
        .await
        .unwrap();
    let mut command = tokio::process::Command::from(stack.command("longshore").unwrap());
    let mut doomed = command
        .args(["dlq", "replay", "--all", "--yes", "--rate", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("it has begun", || async {
        let count = stack.broker.dead_letters().count().await?;
        anyhow::ensure!(count < 100, "{count} are left");
        Ok(())
    })
    .await
    .unwrap();
    doomed.kill().await.unwrap();
    let rows = audit(&stack, &[]).await;
    let [row] = &*rows else { panic!("{rows:?}") };
    assert_eq!(
        (&row["what"], &row["outcome"]),
        (&json!("--all --rate 1"), &json!("begun"))
    );
    assert_eq!(row["affected"], Value::Null);
}

//! The Redis users of docs/PROTOCOL.md: they suffice, and nothing in them is superfluous for what is tested here.

use std::{path::Path, time::Duration};

use longshore_protocol::id::JobId;
use longshore_tests::stack::{Options, Stack, expect_success, prompts, within};
use redis::aio::MultiplexedConnection;

/// The rule of a user in the document, as arguments of `ACL`.
fn documented(user: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PROTOCOL.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, rule) = document
        .split_once(&format!("ACL SETUSER {user} "))
        .unwrap();
    let (rule, _) = rule.split_once("\n\n").unwrap();
    let rule = rule.replace(">SECRET", ">secret");
    let words = ["SETUSER", user].into_iter().chain(rule.split_whitespace());
    words.map(str::to_owned).collect()
}

async fn acl(admin: &mut MultiplexedConnection, words: &[impl AsRef<str>]) {
    let mut command = redis::cmd("ACL");
    for word in words {
        command.arg(word.as_ref());
    }
    command.query_async::<()>(admin).await.unwrap();
}

/// A stack whose programs are this user.
async fn stack_as(user: &str) -> (Stack, MultiplexedConnection) {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let mut admin = stack.connection().await.unwrap();
    acl(&mut admin, &documented(user)).await;
    let url = format!("redis://{user}:secret@127.0.0.1:{}", stack.redis.port());
    stack.set_env("LONGSHORE_REDIS_URL", &url);
    (stack, admin)
}

/// What Redis refused, in the words of its log.
async fn refusals(admin: &mut MultiplexedConnection) -> String {
    let log: redis::Value = redis::cmd("ACL")
        .arg("LOG")
        .query_async(admin)
        .await
        .unwrap();
    match log {
        redis::Value::Array(rows) if rows.is_empty() => String::new(),
        rows => format!("{rows:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_schedulers_and_commands_need_no_more_than_the_documented_user() {
    let (stack, mut admin) = stack_as("service").await;
    acl(&mut admin, &["SETUSER", "service", "+blpop", "+config|get"]).await;
    stack
        .config_yaml(&format!(
            "simulator_url: {}\nproviders: {{ openai: {{ limits: {{ max_concurrent: 2, requests_per_minute: 600 }} }} }}\n\
             budgets: [{{ name: all, scope: overall, limit_usd: '100', per: day }}]\n\
             cron: [{{ name: often, every: 1s, job: {{ prompt: tick }} }}]\n",
            stack.simulator.url()
        ))
        .unwrap();
    let _worker = stack.worker().unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let ids = stack.enqueue(&prompts(20)).await.unwrap();
    stack.successes(&ids).await.unwrap();
    let jobs = [
        r#"{"id":"delayed","prompt":"x","delay":1}"#.to_owned(),
        r#"{"id":"unique","prompt":"x","unique_key":"k"}"#.to_owned(),
        r#"{"id":"keyed","prompt":"x","concurrency_key":"c","reply":true}"#.to_owned(),
        r#"{"id":"tenant","prompt":"x","tenant":"acme","platform":"openai"}"#.to_owned(),
    ];
    stack.enqueue(&jobs).await.unwrap();
    let ids = ["delayed", "unique", "keyed", "tenant"].map(|id| JobId::parse(id).unwrap());
    stack.successes(&ids).await.unwrap();
    stack
        .write("batch.json", r#"[{"prompt":"one"},{"prompt":"two"}]"#)
        .unwrap();
    for command in [
        &["submit", "-p", "Hello"][..],
        &["batch", "batch.json"],
        &["status"],
        &["queues"],
        &["workers"],
        &["quota"],
        &["jobs", "list"],
        &["dlq", "list"],
        &["cron", "list"],
        &["pause", "provider", "openai"],
        &["resume", "provider", "openai"],
        &["doctor"],
    ] {
        let ran = stack.longshore(command).await.unwrap();
        assert_eq!(refusals(&mut admin).await, "", "{command:?} {ran:?}");
    }
    stack.recorded().await.unwrap();
    assert_eq!(refusals(&mut admin).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_an_error_that_names_user_and_command() {
    let (stack, mut admin) = stack_as("service").await;
    for (removed, expected) in [
        (
            "script|load",
            "User service has no permissions to run the 'script|load' command",
        ),
        (
            "xreadgroup",
            "User service has no permissions to run the 'xreadgroup' command",
        ),
        (
            "hset",
            "User service has no permissions to run the 'hset' command",
        ),
        (
            "exists",
            "User service has no permissions to run the 'exists' command",
        ),
        (
            "subscribe",
            "User service has no permissions to run the 'subscribe' command",
        ),
    ] {
        acl(&mut admin, &["SETUSER", "service", &format!("-{removed}")]).await;
        let jobs = stack.enqueue(&prompts(1)).await.unwrap();
        let worker = stack.worker().unwrap();
        within(Duration::from_secs(30), "the log names it", || async {
            let log = std::fs::read_to_string(worker.log())?;
            anyhow::ensure!(log.contains(expected), "{expected} is not in {log}");
            Ok(())
        })
        .await
        .unwrap();
        // The worker continues as soon as it may.
        acl(&mut admin, &["SETUSER", "service", &format!("+{removed}")]).await;
        stack.successes(&jobs).await.unwrap();
        worker.shut_down().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_may_enqueue_and_wait_and_nothing_else() {
    let (stack, mut admin) = stack_as("producer").await;
    let ran = stack.longshore(&["queues"]).await.unwrap();
    assert_ne!(ran.code, Some(0));
    let expected = "User producer has no permissions to run the";
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    assert!(refusals(&mut admin).await.contains("producer"));
    expect_success(
        stack
            .longshore(&["submit", "-p", "Hello", "--detach"])
            .await
            .unwrap(),
    );
}

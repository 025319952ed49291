//! Configuration changes while the services run.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use longshore_local::Signal;
use longshore_tests::stack::{Options, Stack, eventually, expect_success};
use serde_json::Value;

use crate::service::Service;

/// A change is applied within this time.
const SOON: Duration = Duration::from_secs(2);

/// A stack whose programs read `longshore.yaml` and serve their endpoints.
async fn stack(yaml: &str) -> Stack {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    stack.set_env("LONGSHORE_LISTEN", "127.0.0.1:0");
    write(&stack, "longshore.yaml", yaml);
    stack
}

/// Replaces a file by a rename, as editors do.
fn write(stack: &Stack, name: &str, text: &str) {
    let new = stack.dir().join(format!("{name}.new"));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, stack.dir().join(name)).unwrap();
}

fn answering(model: &str) -> String {
    format!("providers: {{ openai: {{ default_model: {model} }} }}\n")
}

/// What the endpoint of a service says of its configuration.
trait ConfigOf {
    async fn count(&self, result: &str) -> anyhow::Result<u64>;
    async fn wait_for_count(&self, result: &str, expected: u64) -> Duration;
    async fn config(&self) -> (String, String);
}

impl ConfigOf for Service {
    /// How many configurations it has applied or rejected.
    async fn count(&self, result: &str) -> anyhow::Result<u64> {
        let name = format!("longshore_config_reloads_total{{result=\"{result}\"}} ");
        let metrics = self.get("metrics").await?;
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        Ok(line.map_or(Ok(0), str::parse)?)
    }

    /// Waits for this count and returns how long that took.
    async fn wait_for_count(&self, result: &str, expected: u64) -> Duration {
        let began = Instant::now();
        eventually("the configuration is read", || async {
            match self.count(result).await? {
                count if count == expected => Ok(()),
                count => bail!("{count} {result}, not {expected}"),
            }
        })
        .await
        .unwrap();
        began.elapsed()
    }

    /// The status and the error of the configuration check at the health endpoint.
    async fn config(&self) -> (String, String) {
        let health: Value = serde_json::from_str(&self.get("health").await.unwrap()).unwrap();
        let text = |name: &str| {
            let found = health.pointer(&format!("/checks/config/{name}"));
            found.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        (text("status"), text("error"))
    }
}

/// The model that answers a new job.
async fn model(stack: &Stack) -> String {
    let id = stack
        .xadd(&[("prompt", "hello"), ("platform", "openai")])
        .await
        .unwrap();
    let outcome = stack.outcome(&id).await.unwrap();
    assert!(outcome.success, "{outcome:?}");
    outcome.model.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_applied_and_an_invalid_one_rejected() {
    let stack = stack(&answering("gpt-4o-mini")).await;
    let worker = Service::ready(stack.worker().unwrap()).await;
    assert_eq!(model(&stack).await, "gpt-4o-mini");

    write(&stack, "longshore.yaml", &answering("gpt-4.1"));
    let took = worker.wait_for_count("applied", 1).await;
    assert!(took < SOON, "{took:?}");
    assert_eq!(model(&stack).await, "gpt-4.1");

    write(
        &stack,
        "longshore.yaml",
        "grace: 1s\nretry: { max_retry: 5 }\n",
    );
    let took = worker.wait_for_count("refused", 1).await;
    assert!(took < SOON, "{took:?}");
    assert_eq!(model(&stack).await, "gpt-4.1", "the old one stays");
    let (status, error) = worker.config().await;
    assert_eq!(status, "warning");
    assert_eq!(
        error,
        "refused: longshore.yaml:2: `retry.max_retry` is not a setting; did you mean `max_retries`?"
    );
    assert_eq!(worker.get("ready").await.unwrap(), "ok\n");

    write(&stack, "longshore.yaml", &answering("gpt-4o"));
    worker.wait_for_count("applied", 2).await;
    assert_eq!(model(&stack).await, "gpt-4o");
    assert_eq!(worker.config().await.0, "ok");
    assert_eq!(worker.count("refused").await.unwrap(), 1, "reported once");
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_file_again() {
    let stack = stack(&answering("gpt-4o-mini")).await;
    let mut worker = Service::ready(stack.worker().unwrap()).await;
    let mut scheduler = Service::ready(stack.scheduler().unwrap()).await;
    for service in [&mut worker, &mut scheduler] {
        service.process.signal(Signal::SIGHUP).unwrap();
        let took = service.wait_for_count("applied", 1).await;
        assert!(took < SOON, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_configuration_is_applied_by_every_process() {
    let stack = stack(&answering("gpt-4o-mini")).await;
    let fleet = [
        Service::ready(stack.worker().unwrap()).await,
        Service::ready(stack.worker().unwrap()).await,
        Service::ready(stack.scheduler().unwrap()).await,
    ];
    write(&stack, "new.yaml", &answering("gpt-4.1"));
    let differs = stack
        .longshore(&["config", "diff", "new.yaml"])
        .await
        .unwrap();
    assert_eq!(differs.code, Some(1), "{differs:?}");
    assert!(
        differs.stdout.contains("default_model gpt-4.1"),
        "{differs:?}"
    );

    let pushed = expect_success(
        stack
            .longshore(&["config", "push", "new.yaml", "--yes"])
            .await
            .unwrap(),
    );
    assert!(pushed.starts_with("Pushed as version 1;"), "{pushed}");
    for service in &fleet {
        let took = service.wait_for_count("applied", 1).await;
        assert!(took < SOON, "{took:?}");
    }
    // Either worker may answer: both have applied it.
    for _ in 0..10 {
        assert_eq!(model(&stack).await, "gpt-4.1");
    }
    expect_success(
        stack
            .longshore(&["config", "diff", "new.yaml"])
            .await
            .unwrap(),
    );
    let shown = expect_success(
        stack
            .longshore(&["config", "show", "--origin"])
            .await
            .unwrap(),
    );
    assert!(
        shown.contains("Sources: configuration version 1, pushed at"),
        "{shown}"
    );
    assert!(shown.contains("pushed config 1:1"), "{shown}");

    let _heir = Service::ready(stack.worker().unwrap()).await;
    for _ in 0..10 {
        assert_eq!(
            model(&stack).await,
            "gpt-4.1",
            "also of those that start later"
        );
    }

    // A configuration pushed without the command is rejected as well.
    stack
        .broker
        .fleet_config()
        .push("grace: 1s\nretry: 5\n")
        .await
        .unwrap();
    for service in &fleet {
        let took = service.wait_for_count("refused", 1).await;
        assert!(took < SOON, "{took:?}");
        let (status, error) = service.config().await;
        assert_eq!(status, "warning");
        assert!(
            error.contains("pushed config 2:2: `retry` is a single value"),
            "{error}"
        );
    }
    assert_eq!(model(&stack).await, "gpt-4.1");

    expect_success(
        stack
            .longshore(&["config", "push", "--clear", "--yes"])
            .await
            .unwrap(),
    );
    for service in &fleet {
        service.wait_for_count("applied", 2).await;
    }
    eventually("its own file counts again", || async {
        match model(&stack).await.as_str() {
            "gpt-4o-mini" => Ok(()),
            other => bail!("{other}"),
        }
    })
    .await
    .unwrap();
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_configuration_is_not_pushed() {
    let stack = stack("").await;
    for (text, printed) in [
        (
            "grace: 1s\nproviders: { openai: { api_key: sk-hunter2 } }\n",
            "new.yaml:2: `providers.openai.api_key` contains a literal secret",
        ),
        (
            "grace: soon\n",
            "new.yaml:1: `grace` is `soon`; expected a time",
        ),
    ] {
        write(&stack, "new.yaml", text);
        let ran = stack
            .longshore(&["config", "push", "new.yaml", "--yes"])
            .await
            .unwrap();
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(
            ran.stderr.contains(printed) && !ran.stderr.contains("hunter2"),
            "{ran:?}"
        );
    }
    write(&stack, "new.yaml", "grace: 1s\n");
    let ran = stack
        .longshore(&["config", "push", "new.yaml"])
        .await
        .unwrap();
    assert_eq!(ran.code, Some(2), "no server to call: {ran:?}");
    assert!(ran.stderr.contains("add --yes"), "{ran:?}");
    assert_eq!(stack.broker.fleet_config().version().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_files_are_checked_and_shown_without_redis() {
    let mut stack = stack("retry: 5\ngrace: soon\nconcurency: 5\n").await;
    stack.redis.kill().unwrap();
    stack.set_env("REDIS_URL", &stack.redis.url());
    let ran = stack.longshore(&["config", "validate"]).await.unwrap();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(
        ran.stdout,
        "\
longshore.yaml:1: `retry` is a single value; expected a map: lines `name: value` under it, indented
longshore.yaml:2: `grace` is `soon`; expected a time from 0ms to 1d, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)
longshore.yaml:3: `concurency` is not a setting; did you mean `concurrency`?
3 problems.
"
    );
    let problems = ran.stdout.lines().take(3).map(str::to_owned);
    let problems: Vec<String> = problems.collect();
    let ran = stack
        .longshore(&["config", "validate", "--format", "json"])
        .await
        .unwrap();
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    for (problem, line) in json["problems"].as_array().unwrap().iter().zip(1..) {
        assert_eq!(problem["file"], "longshore.yaml");
        assert_eq!(problem["line"], line);
    }
    let mut worker = stack.worker().unwrap();
    let ended = eventually("the worker refuses to start", || {
        let ended = worker.try_wait();
        async move { ended?.context("it runs") }
    });
    assert_eq!(ended.await.unwrap().code(), Some(2));
    let log = worker.log_tail();
    for problem in problems {
        assert!(log.contains(&problem), "{log}");
    }
    write(&stack, "longshore.yaml", "concurrency: 5\n");
    write(&stack, "new.yaml", "grace: soon\n");
    for command in [
        &["config", "diff", "new.yaml"][..],
        &["config", "push", "new.yaml", "--yes"],
    ] {
        let ran = stack.longshore(command).await.unwrap();
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(
            ran.stderr.contains("new.yaml:1: `grace` is `soon`"),
            "{ran:?}"
        );
    }
    let ran = stack
        .longshore(&["config", "validate", "--format", "json"])
        .await
        .unwrap();
    let json: Value = serde_json::from_str(&expect_success(ran)).unwrap();
    assert_eq!(json["ok"], true);
    let shown = expect_success(stack.longshore(&["config", "show"]).await.unwrap());
    assert!(shown.contains("concurrency"), "{shown}");
    assert!(
        shown.contains("The pushed configuration is unknown: Redis at"),
        "{shown}"
    );
}

//! The configuration changes while the services run.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use longshore::local::{ChildProcess, Signal};
use longshore_tests::stack::{Options, Ran, Stack, eventually};
use serde_json::Value;

/// A change is taken within this time.
const SOON: Duration = Duration::from_secs(2);

/// A stack whose programs read `longshore.yaml` and tell how they fare.
async fn stack(yaml: &str) -> Stack {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    stack.set_env("LONGSHORE_LISTEN", "127.0.0.1:0");
    write(&stack, "longshore.yaml", yaml);
    stack
}

/// Replaces a file as editors do.
fn write(stack: &Stack, name: &str, text: &str) {
    let new = stack.dir().join(format!("{name}.new"));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, stack.dir().join(name)).unwrap();
}

fn answering(model: &str) -> String {
    format!("providers: {{ openai: {{ default_model: {model} }} }}\n")
}

/// A running service, seen through its endpoints.
struct Seen {
    process: ChildProcess,
    address: String,
}

impl Seen {
    async fn ready(process: ChildProcess) -> Self {
        let address = eventually("it tells its address", || async {
            let log = std::fs::read_to_string(process.log())?;
            let (_, after) = log.split_once("\"address\":\"").context("no address yet")?;
            let address = after.split('"').next().context("no address yet")?;
            Ok(address.to_owned())
        })
        .await
        .unwrap();
        let seen = Self { process, address };
        eventually("it is ready", || async {
            match seen.get("ready").await?.as_str() {
                "ok\n" => Ok(()),
                other => bail!("{other}"),
            }
        })
        .await
        .unwrap();
        seen
    }

    async fn get(&self, path: &str) -> anyhow::Result<String> {
        let url = format!("http://{}/{path}", self.address);
        Ok(reqwest::get(url).await?.text().await?)
    }

    /// How many configurations it has taken or refused.
    async fn count(&self, result: &str) -> anyhow::Result<u64> {
        let name = format!("longshore_config_reloads_total{{result=\"{result}\"}} ");
        let metrics = self.get("metrics").await?;
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        Ok(line.map_or(Ok(0), str::parse)?)
    }

    /// Waits until there were so many; how long that took.
    async fn counts(&self, result: &str, expected: u64) -> Duration {
        let began = Instant::now();
        eventually("the configuration is looked at", || async {
            match self.count(result).await? {
                count if count == expected => Ok(()),
                count => bail!("{count} {result}, not {expected}"),
            }
        })
        .await
        .unwrap();
        began.elapsed()
    }

    /// The health endpoint's check of the configuration: its status, and what is wrong.
    async fn config(&self) -> (String, String) {
        let health: Value = serde_json::from_str(&self.get("health").await.unwrap()).unwrap();
        let text = |name: &str| {
            let found = health.pointer(&format!("/checks/config/{name}"));
            found.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        (text("status"), text("error"))
    }
}

/// The model that answers a job now.
async fn model(stack: &Stack) -> String {
    let id = stack
        .xadd(&[("prompt", "hello"), ("platform", "openai")])
        .await
        .unwrap();
    let outcome = stack.outcome(&id).await.unwrap();
    assert!(outcome.success, "{outcome:?}");
    outcome.model.unwrap()
}

fn ok(ran: Ran) -> String {
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    ran.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_taken_and_a_bad_one_refused() {
    let stack = stack(&answering("gpt-4o-mini")).await;
    let worker = Seen::ready(stack.worker().unwrap()).await;
    assert_eq!(model(&stack).await, "gpt-4o-mini");

    write(&stack, "longshore.yaml", &answering("gpt-4.1"));
    let took = worker.counts("taken", 1).await;
    assert!(took < SOON, "{took:?}");
    assert_eq!(model(&stack).await, "gpt-4.1");

    write(
        &stack,
        "longshore.yaml",
        "grace: 1s\nretry: { max_retry: 5 }\n",
    );
    let took = worker.counts("refused", 1).await;
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
    worker.counts("taken", 2).await;
    assert_eq!(model(&stack).await, "gpt-4o");
    assert_eq!(worker.config().await.0, "ok");
    assert_eq!(worker.count("refused").await.unwrap(), 1, "told once");
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_file_again() {
    let stack = stack(&answering("gpt-4o-mini")).await;
    let mut worker = Seen::ready(stack.worker().unwrap()).await;
    let mut scheduler = Seen::ready(stack.scheduler().unwrap()).await;
    for service in [&mut worker, &mut scheduler] {
        service.process.signal(Signal::SIGHUP).unwrap();
        let took = service.counts("taken", 1).await;
        assert!(took < SOON, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_one_goes_to_the_whole_fleet() {
    let stack = stack(&answering("gpt-4o-mini")).await;
    let fleet = [
        Seen::ready(stack.worker().unwrap()).await,
        Seen::ready(stack.worker().unwrap()).await,
        Seen::ready(stack.scheduler().unwrap()).await,
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

    let pushed = ok(stack
        .longshore(&["config", "push", "new.yaml", "--yes"])
        .await
        .unwrap());
    assert!(pushed.starts_with("Pushed as version 1;"), "{pushed}");
    for service in &fleet {
        let took = service.counts("taken", 1).await;
        assert!(took < SOON, "{took:?}");
    }
    // One of two workers answers each: both have it.
    for _ in 0..10 {
        assert_eq!(model(&stack).await, "gpt-4.1");
    }
    ok(stack
        .longshore(&["config", "diff", "new.yaml"])
        .await
        .unwrap());
    let shown = ok(stack
        .longshore(&["config", "show", "--origin"])
        .await
        .unwrap());
    assert!(
        shown.contains("From what was pushed as version 1"),
        "{shown}"
    );
    assert!(shown.contains("pushed config 1:1"), "{shown}");

    let _heir = Seen::ready(stack.worker().unwrap()).await;
    for _ in 0..10 {
        assert_eq!(
            model(&stack).await,
            "gpt-4.1",
            "also of those that start later"
        );
    }

    // Whoever gets past the command gets no further.
    stack
        .broker
        .push_config("grace: 1s\nretry: 5\n")
        .await
        .unwrap();
    for service in &fleet {
        let took = service.counts("refused", 1).await;
        assert!(took < SOON, "{took:?}");
        let (status, error) = service.config().await;
        assert_eq!(status, "warning");
        assert!(
            error.contains("pushed config 2:2: `retry` is not a map"),
            "{error}"
        );
    }
    assert_eq!(model(&stack).await, "gpt-4.1");

    ok(stack
        .longshore(&["config", "push", "--clear", "--yes"])
        .await
        .unwrap());
    for service in &fleet {
        service.counts("taken", 2).await;
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
async fn what_is_wrong_is_not_pushed() {
    let stack = stack("").await;
    for (text, told) in [
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
            ran.stderr.contains(told) && !ran.stderr.contains("hunter2"),
            "{ran:?}"
        );
    }
    write(&stack, "new.yaml", "grace: 1s\n");
    let ran = stack
        .longshore(&["config", "push", "new.yaml"])
        .await
        .unwrap();
    assert_eq!(ran.code, Some(2), "nobody to ask: {ran:?}");
    assert!(ran.stderr.contains("add --yes"), "{ran:?}");
    assert_eq!(stack.broker.config_version().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_checked_and_shown_without_redis() {
    let mut stack = stack("concurency: 5\n").await;
    stack.redis.kill().unwrap();
    stack.set_env("REDIS_URL", &stack.redis.url());
    let ran = stack.longshore(&["config", "validate"]).await.unwrap();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(
        ran.stdout,
        "longshore.yaml:1: `concurency` is not a setting; did you mean `concurrency`?\n1 problem.\n"
    );
    write(&stack, "longshore.yaml", "concurrency: 5\n");
    let ran = stack
        .longshore(&["config", "validate", "--format", "json"])
        .await
        .unwrap();
    let json: Value = serde_json::from_str(&ok(ran)).unwrap();
    assert_eq!(json["ok"], true);
    let shown = ok(stack.longshore(&["config", "show"]).await.unwrap());
    assert!(shown.contains("concurrency"), "{shown}");
    assert!(
        shown.contains("Whether anything is pushed is not known: Redis at"),
        "{shown}"
    );
}

//! Encryption at rest: nothing of prompts, answers and metadata is readable in Redis or Postgres.

use std::time::Duration;

use longshore_client::{Client, Job, KeyId, Keyring};
use longshore_protocol::{id::JobId, outcome::Outcome};
use longshore_tests::stack::{Options, Process, Stack, eventually, expect_success};
use redis::AsyncCommands as _;
use serde_json::{Value, json};

use crate::secrets::{postgres_content, redis_content};

const KEY_1: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEY_2: &str = "/wECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// `KEY_1` encrypts; the example of `docs/PROTOCOL.md`.
const FIRST: &str = "encryption: {keys: {k1: \"${LONGSHORE_KEY_1}\"}, current: k1}\n";
const BOTH: &str =
    "encryption: {keys: {k1: \"${LONGSHORE_KEY_1}\", k2: \"${LONGSHORE_KEY_2}\"}, current: k2}\n";
const SECOND: &str = "encryption: {keys: {k2: \"${LONGSHORE_KEY_2}\"}, current: k2}\n";
const ENCRYPTED_JOB: &str = "enc:v1:k1:AAECAwQFBgcICQoLPCCmaaqIsm+ve7XF0IQdTfe+9VGVWy8OUQqE92RJY91tf9uO3O8w5dhmf6Yb+X1oI5rs6TQ/kgI=";

/// Words of prompts, answers and metadata.
const MARKERS: [&str; 3] = ["xylophone", "quokka", "zephyr"];

async fn stack(config: &str) -> Stack {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    stack.set_env("LONGSHORE_KEY_1", KEY_1);
    stack.set_env("LONGSHORE_KEY_2", KEY_2);
    stack.write("longshore.yaml", config).unwrap();
    stack
}

async fn cli(stack: &Stack, arguments: &[&str]) -> String {
    expect_success(stack.longshore(arguments).await.unwrap())
}

/// Replaces the worker by one with another configuration.
async fn restart(stack: &Stack, worker: Process, config: &str) -> Process {
    worker.shut_down().await.unwrap();
    stack.write("longshore.yaml", config).unwrap();
    stack.worker().unwrap()
}

/// A job with the markers.
fn marked_job() -> Value {
    json!({
        "prompt": "xylophone [[echo=quokka]]", "system": "xylophone", "metadata": {"wind": "zephyr"}, "keep_result": true
    })
}

async fn only(stack: &Stack, job: &Value) -> JobId {
    stack.enqueue(&[job.to_string()]).await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_the_keys_that_stored_jobs_need() {
    let stack = stack(FIRST).await;
    let worker = stack.worker().unwrap();
    only(&stack, &json!({"prompt": "xylophone", "delay": 3600})).await;
    wait_for_parked(&stack, 1).await;
    let doomed = only(&stack, &json!({"prompt": "xylophone", "retry": "unknown"})).await;
    stack.outcomes(&[doomed]).await.unwrap();
    worker.shut_down().await.unwrap();
    for (config, expected) in [
        (
            BOTH,
            vec!["[OK] encryption: k2 encrypts; known keys: k1, k2"],
        ),
        (
            SECOND,
            vec![
                "[OK] encryption: k2 encrypts; known keys: k2",
                "[!!] encryption: key k1 is unknown here and needed by 1 of the first 100 dead letters",
                "[!!] encryption: key k1 is unknown here and needed by 1 of the first 100 parked jobs",
            ],
        ),
    ] {
        stack.write("longshore.yaml", config).unwrap();
        let ran = stack.longshore(&["doctor"]).await.unwrap();
        let lines = ran.stdout.lines();
        let found: Vec<&str> = lines
            .filter(|line| line.contains("] encryption: "))
            .collect();
        assert_eq!(found, expected, "{}", ran.stdout);
    }
}

async fn wait_for_parked(stack: &Stack, count: u64) {
    eventually("jobs are parked", || async {
        let parked: u64 = stack
            .connection()
            .await?
            .hlen(stack.broker.keys().parked())
            .await?;
        anyhow::ensure!(parked == count, "{parked} jobs are parked");
        Ok(())
    })
    .await
    .unwrap();
}

async fn assert_unreadable(stack: &Stack) {
    stack.recorded().await.unwrap();
    for (place, content) in [
        ("Redis", redis_content(stack).await),
        ("Postgres", postgres_content(stack).await),
    ] {
        assert!(content.contains("enc:v1:k1:"), "{place}: {content}");
        assert_unmarked(&content);
    }
}

fn assert_unmarked(content: &str) {
    for marker in MARKERS {
        let around = content.find(marker).map(|at| {
            let from = content.get(at.saturating_sub(300)..at + 20);
            from.unwrap_or_default().to_owned()
        });
        assert_eq!(around, None, "{marker} is readable");
    }
}

const CHAIN: &str = r#"{
  "name": "instruments", "metadata": {"wind": "zephyr"}, "steps": [
    {"name": "list", "prompt": "xylophone [[echo=[\"quokka\",\"lyre\"]]]"},
    {"name": "each", "needs": ["list"], "foreach": "steps.list.json", "when": "'quokka' in steps.list.output",
     "prompt": "[[echo=A {{ item }}.]] xylophone"},
    {"name": "all", "gather": "each", "prompt": "[[echo={% for one in gathered %}{{ one.output }} {% endfor %}End]]"}
  ]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_not_readable_without_the_key() {
    let stack = stack(FIRST).await;
    let _worker = stack.worker().unwrap();
    stack.write("chain.json", CHAIN).unwrap();
    stack
        .write(
            "batch.json",
            &json!([marked_job(), marked_job()]).to_string(),
        )
        .unwrap();

    // Jobs of producers without the key.
    let plain = only(&stack, &marked_job()).await;
    let stored = stack.outcome(&plain).await.unwrap();
    assert!(stored.success && stored.output.unwrap().starts_with("enc:v1:k1:"));
    let flat = [
        ("prompt", "xylophone"),
        ("metadata", r#"{"wind":"zephyr"}"#),
        ("delay", "3600"),
    ];
    let parked = stack.xadd(&flat).await.unwrap();
    let mut keyed = marked_job();
    keyed["concurrency_key"] = json!("one");
    keyed["prompt"] = json!("xylophone [[latency=3000]]");
    stack
        .enqueue(&[keyed.to_string(), keyed.to_string()])
        .await
        .unwrap();
    // For their times, and for the key.
    wait_for_parked(&stack, 2).await;
    let waiting: Vec<Vec<u8>> = stack
        .connection()
        .await
        .unwrap()
        .hvals(stack.broker.keys().parked())
        .await
        .unwrap();
    for record in waiting {
        let record = String::from_utf8_lossy(&record);
        assert!(record.contains("enc:v1:k1:"), "{record}");
        assert!(
            MARKERS.iter().all(|marker| !record.contains(marker)),
            "{record}"
        );
    }
    for refused in [
        r#"{"prompt":"[[fail_first=1:400]] xylophone","fallback":false,"metadata":{"wind":"zephyr"}}"#,
        r#"{"prompt":"xylophone","max_tokens":"quokka","metadata":{"wind":"zephyr"}}"#,
        r#"{"prompt":"xylophone"#,
        r#"{"prompt":"x","spawn":true,"metadata":{"wind":"zephyr"}}"#,
    ] {
        let id = stack
            .enqueue(&[refused.to_owned()])
            .await
            .unwrap()
            .remove(0);
        assert!(!stack.outcome(&id).await.unwrap().success, "{refused}");
    }
    let spawning = json!({"prompt": "[[echo=[\"xylophone [[echo=quokka]]\"]]]", "spawn": true});
    stack.outcome(&only(&stack, &spawning).await).await.unwrap();

    let mut by_recipe = marked_job();
    by_recipe["recipe"] = json!("simple");
    by_recipe.as_object_mut().unwrap().remove("system");
    let answered = only(&stack, &by_recipe).await;
    assert!(stack.outcome(&answered).await.unwrap().success);

    // Those of the command line.
    let submitted = cli(&stack, &["submit", "--prompt", "xylophone [[echo=quokka]]"]).await;
    assert!(submitted.contains("quokka"), "{submitted}");
    let chain = cli(&stack, &["chain", "run", "chain.json", "--id", "c-1"]).await;
    assert!(chain.contains("A quokka. A lyre. End"), "{chain}");
    cli(
        &stack,
        &["batch", "batch.json", "--id", "b-1", "--output", "out.json"],
    )
    .await;
    let results = std::fs::read_to_string(stack.dir().join("out.json")).unwrap();
    assert!(results.contains("quokka"), "{results}");

    wait_for_parked(&stack, 1).await;
    assert_unreadable(&stack).await;

    // Who has the key reads everything.
    let shown = cli(&stack, &["jobs", "show", plain.as_str()]).await;
    assert!(
        shown.contains("quokka") && shown.contains("xylophone"),
        "{shown}"
    );
    let shown = cli(
        &stack,
        &["jobs", "show", parked.as_str(), "--format", "json"],
    )
    .await;
    assert!(shown.contains("zephyr"), "{shown}");
    let listed = cli(&stack, &["dlq", "list", "--format", "json"]).await;
    assert!(listed.contains("max_tokens"), "{listed}");
    let arguments = ["jobs", "list", "--metadata", "wind=zephyr", "--since", "1h"];
    let ran = stack.longshore(&arguments).await.unwrap();
    assert!(
        ran.stderr
            .contains("--metadata finds nothing that is encrypted"),
        "{ran:?}"
    );

    // Who has it not reads by what it is encrypted.
    stack.write("longshore.yaml", "").unwrap();
    let shown = cli(&stack, &["jobs", "show", plain.as_str()]).await;
    assert!(
        shown.contains("(encrypted with key k1)") && !shown.contains("enc:v1"),
        "{shown}"
    );
    let shown = cli(
        &stack,
        &["jobs", "show", plain.as_str(), "--format", "json"],
    )
    .await;
    assert!(shown.contains("enc:v1:k1:"), "{shown}");
    stack.write("longshore.yaml", FIRST).unwrap();
    cli(&stack, &["jobs", "run-now", parked.as_str()]).await;
    assert!(stack.outcome(&parked).await.unwrap().success);
    assert_unreadable(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_encrypts_the_value_of_a_field() {
    let stack = stack(FIRST).await;
    let _worker = stack.worker().unwrap();
    let read = |outcome: Outcome| outcome.error_class.unwrap_or_default();
    let whole = stack.xadd(&[("job", ENCRYPTED_JOB)]).await.unwrap();
    assert_eq!(read(stack.outcome(&whole).await.unwrap()), "");

    let moved = stack.xadd(&[("prompt", ENCRYPTED_JOB)]).await.unwrap();
    assert_eq!(read(stack.outcome(&moved).await.unwrap()), "cannot_decrypt");
    let unknown = ENCRYPTED_JOB.replace(":k1:", ":k9:");
    let unknown = stack.xadd(&[("job", &unknown)]).await.unwrap();
    let refused = stack.outcome(&unknown).await.unwrap();
    assert_eq!(
        refused.error.unwrap(),
        "field `job`: it is encrypted with the key `k9`, which is not in `encryption.keys`; add the key, then replay the job"
    );
    // Nobody was called with a value that is still encrypted.
    assert_eq!(stack.simulator.stats().requests, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_program_with_the_key_sends_and_reads() {
    let stack = stack(FIRST).await;
    let _worker = stack.worker().unwrap();
    let current = KeyId::parse("k1").unwrap();
    let keyring = Keyring::new([(current.clone(), KEY_1.to_owned().into())], current).unwrap();
    let client = Client::new(stack.broker.clone()).keyring(keyring);
    let job = Job::prompt("xylophone [[echo=quokka]]").reply(true);
    // Before a worker reads it, too.
    cli(&stack, &["pause", "queue", "default"]).await;
    let receipt = client.enqueue(&job).await.unwrap();
    assert_unmarked(&redis_content(&stack).await);
    cli(&stack, &["resume", "queue", "default"]).await;
    let outcome = client
        .wait_for(&receipt, Duration::from_mins(1))
        .await
        .unwrap();
    assert_eq!(outcome.unwrap().output.unwrap(), "quokka");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_while_jobs_wait() {
    let stack = stack(FIRST).await;
    let _scheduler = stack.scheduler().unwrap();
    let worker = stack.worker().unwrap();
    let mut waiting = marked_job();
    waiting["delay"] = json!(3600);
    let ended = only(&stack, &marked_job()).await;
    stack.outcome(&ended).await.unwrap();
    let (first, second) = (only(&stack, &waiting).await, only(&stack, &waiting).await);
    wait_for_parked(&stack, 2).await;
    stack.recorded().await.unwrap();

    let worker = restart(&stack, worker, BOTH).await;
    cli(&stack, &["jobs", "run-now", first.as_str()]).await;
    let output = stack.outcome(&first).await.unwrap().output.unwrap();
    assert!(output.starts_with("enc:v1:k2:"), "{output}");
    for id in [&ended, &first] {
        let shown = cli(&stack, &["jobs", "show", id.as_str()]).await;
        assert!(shown.contains("quokka"), "{shown}");
    }

    // The first key is taken away too early: the job that needs it is kept, and runs when the key is back.
    let worker = restart(&stack, worker, SECOND).await;
    cli(&stack, &["jobs", "run-now", second.as_str()]).await;
    let refused = stack.outcome(&second).await.unwrap();
    assert_eq!(refused.error_class.as_deref(), Some("cannot_decrypt"));
    let error = refused.error.unwrap();
    assert!(
        error.starts_with("field `job`: it is encrypted with the key `k1`"),
        "{error}"
    );
    let _worker = restart(&stack, worker, BOTH).await;
    cli(&stack, &["dlq", "replay", second.as_str()]).await;
    eventually("the job has run", || async {
        let outcome = stack
            .broker
            .jobs()
            .outcomes(std::slice::from_ref(&second))
            .await?;
        anyhow::ensure!(outcome.into_iter().flatten().any(|outcome| outcome.success));
        Ok(())
    })
    .await
    .unwrap();
}

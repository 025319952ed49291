//! Producers in other languages that use only their Redis client.

use std::path::{Path, PathBuf};

use longshore_protocol::{id::JobId, outcome::Outcome, state::JobState};
use longshore_tests::stack::{Options, Stack};
use tokio::{process::Command, sync::OnceCell};

static READY: OnceCell<()> = OnceCell::const_new();

/// The folder of the clients, with their packages installed.
pub(crate) async fn clients() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    READY
        .get_or_init(|| async {
            let output = Command::new("bash")
                .arg(dir.join("setup.sh"))
                .output()
                .await
                .unwrap();
            assert!(
                output.status.success(),
                "tests/clients/setup.sh: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        })
        .await;
    dir
}

async fn answers(program: &mut Command, stack: &Stack) {
    let output = program
        .env("REDIS_URL", stack.redis.url())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let receipt = text
        .lines()
        .find_map(|line| line.strip_prefix("receipt "))
        .unwrap();
    let outcome: Outcome = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let id = JobId::parse(receipt).unwrap();
    assert_eq!(
        (outcome.id.as_str(), outcome.state),
        (receipt, JobState::Completed)
    );

    let books = stack.books().await.unwrap();
    books.balance();
    let history = stack.ledger.job(&id).await.unwrap().expect("a row in jobs");
    assert_eq!(history.history.len(), 1, "a row in attempts");
    let shown = stack.longshore(&["jobs", "show", receipt]).await.unwrap();
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(
        shown.stdout.contains(receipt) && shown.stdout.contains("completed"),
        "{}",
        shown.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn python_enqueues_a_job_and_gets_its_outcome() {
    let dir = clients().await;
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let mut python = Command::new(dir.join(".venv/bin/python"));
    answers(python.arg(dir.join("enqueue.py")), &stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_enqueues_a_job_and_gets_its_outcome() {
    let dir = clients().await;
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let mut node = Command::new("node");
    answers(node.arg(dir.join("enqueue.mjs")), &stack).await;
}

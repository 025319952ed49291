//! Anything is killed at any moment while a chain runs: it completes, and its cost is the invoice's.

use std::{collections::BTreeMap, time::Duration};

use longshore::local::ChildProcess;
use longshore_shared::{broker::ChainRetried, state::AttemptOutcome};
use longshore_tests::stack::{Options, Stack};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use super::{begin, outcome_within};

/// Kills of the short form and of the full one (`LONGSHORE_TEST_FULL=1`).
const KILLS: (usize, usize) = (12, 50);

/// 500 steps: lists that fan out, joins, and a thread of single steps.
fn document() -> Value {
    let mut steps = Vec::new();
    for part in 0..20 {
        let before: Vec<String> = (part > 0)
            .then(|| format!("join{}", part - 1))
            .into_iter()
            .collect();
        steps.push(json!({"name": format!("list{part}"), "needs": before,
            "prompt": r#"[[echo=["a","b","c","d"]]]"#}));
        steps.push(
            json!({"name": format!("each{part}"), "needs": [format!("list{part}")],
            "foreach": format!("steps.list{part}.json"), "prompt": "{{ item }}"}),
        );
        for at in 0..22 {
            steps.push(
                json!({"name": format!("side{part}_{at}"), "needs": [format!("list{part}")],
                "prompt": "side", "on_failure": "continue"}),
            );
        }
        steps.push(
            json!({"name": format!("join{part}"), "gather": format!("each{part}"),
            "prompt": "{{ gathered | length }}"}),
        );
    }
    json!({"id": "killed", "steps": steps})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_completes_whatever_is_killed() {
    let full = std::env::vars().any(|(name, value)| name == "LONGSHORE_TEST_FULL" && value == "1");
    let mut stack = Stack::start(Options {
        latency: Duration::from_millis(300),
        env: [
            ("LONGSHORE_LIVENESS_HEARTBEAT_EVERY", "300ms"),
            ("LONGSHORE_LIVENESS_HEARTBEAT_TTL", "1s"),
            ("LONGSHORE_CONCURRENCY", "20"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
    })
    .await
    .unwrap();
    stack.acknowledge_what_is_on_disk().await.unwrap();
    let chain = begin(&stack, &document()).await;
    let mut workers = [stack.worker().unwrap(), stack.worker().unwrap()];
    let mut scheduler = stack.scheduler().unwrap();
    let mut chance = StdRng::seed_from_u64(7);
    let kills = if full { KILLS.1 } else { KILLS.0 };
    for _ in 0..kills {
        // Killing at random moments is the point; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(chance.random_range(200..1500))).await;
        match chance.random_range(0..4) {
            0 => replace(&mut scheduler, stack.scheduler().unwrap()),
            1 => {
                stack.redis.kill().unwrap();
                stack.redis.restart().await.unwrap();
            }
            at => replace(&mut workers[at - 2], stack.worker().unwrap()),
        }
    }
    let mut ended = outcome_within(&stack, &chain, Duration::from_mins(5)).await;
    // A step of which three workers were killed is a dead letter, and is gone on with.
    while ended["failed"] != 0 {
        assert_only_poison(&stack).await;
        let again = stack.broker.retry_chain(&chain, &[]).await.unwrap();
        assert!(matches!(again, ChainRetried::Again(_)), "{again:?}");
        ended = outcome_within(&stack, &chain, Duration::from_mins(5)).await;
    }
    assert_eq!(
        (&ended["state"], &ended["failed"]),
        (&json!("completed"), &json!(0)),
        "{ended}"
    );
    // 500 steps, and four items of each of 20 lists in place of the steps that fan out.
    assert_eq!(ended["completed"], 500 - 20 + 80);

    let books = stack.books().await.unwrap();
    books.balance();
    let mut settled: BTreeMap<_, u32> = BTreeMap::new();
    let answered = books
        .ledger
        .iter()
        .filter(|row| row.outcome == AttemptOutcome::Completed && !row.duplicate);
    for row in answered {
        *settled.entry(row.job_id.clone()).or_default() += 1;
    }
    assert_eq!(settled.len(), 560);
    assert!(
        settled.values().all(|times| *times == 1),
        "a step settled twice"
    );
}

async fn assert_only_poison(stack: &Stack) {
    let letters: Vec<String> = redis::cmd("HVALS")
        .arg(stack.broker.keys().dead_jobs())
        .query_async(&mut stack.connection().await.unwrap())
        .await
        .unwrap();
    for letter in letters {
        assert!(letter.contains(r#""reason":"poison""#), "{letter}");
    }
}

fn replace(process: &mut ChildProcess, by: ChildProcess) {
    process.kill().unwrap();
    *process = by;
}

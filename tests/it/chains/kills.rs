//! A chain completes while processes are killed at random, and its cost equals the invoice.

use std::{collections::BTreeMap, time::Duration};

use longshore_protocol::state::AttemptOutcome;
use longshore_tests::stack::Stack;
use serde_json::{Value, json};

use super::{begin, outcome_within};
use crate::{
    chaos::{
        faults::{self, Fleet},
        plan::{FaultKind, Faults, SCHEDULERS, WORKERS},
    },
    machine::size,
};

/// 500 steps: fan-outs, joins, and a sequence of single steps.
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
    let stack = Stack::start(faults::options(Duration::from_millis(300)))
        .await
        .unwrap();
    let chain = begin(&stack, &document()).await;
    let mut fleet = Fleet::start(stack, None, WORKERS, SCHEDULERS)
        .await
        .unwrap();
    let kills = [
        FaultKind::WorkerKilled,
        FaultKind::SchedulerKilled,
        FaultKind::RedisKilled,
    ];
    for (pause, kill) in Faults::new(7, &kills).take(size(12, 50)) {
        tokio::time::sleep(pause).await;
        fleet.inject(kill).await.unwrap();
    }
    let stack = &fleet.stack;
    let ended = outcome_within(stack, &chain, Duration::from_mins(5)).await;
    assert_eq!(
        (&ended["state"], &ended["failed"]),
        (&json!("completed"), &json!(0)),
        "{ended}"
    );
    // 500 steps, with four items each in place of the 20 that fan out.
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

//! Wide and long chains.

use std::time::{Duration, Instant};

use longshore_tests::stack::{Options, Stack};
use serde_json::json;

use super::{begin, outcome_within, output};

/// The provider's latency.
const LATENCY: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_of_a_thousand_items_is_gathered() {
    let mut stack = Stack::start(Options {
        latency: LATENCY,
        ..Options::default()
    })
    .await
    .unwrap();
    stack.set_env("LONGSHORE_CONCURRENCY", "2000");
    let _worker = stack.worker().unwrap();
    let numbers: Vec<u32> = (0..1000).collect();
    let list = serde_json::to_string(&numbers).unwrap();
    let began = Instant::now();
    let chain = begin(
        &stack,
        &json!({"id": "wide", "steps": [
            {"name": "list", "prompt": format!("[[echo={list}]]")},
            {"name": "each", "needs": ["list"], "foreach": "steps.list.json", "prompt": "[[echo={{ item }}]]"},
            {"name": "merge", "gather": "each", "prompt": "[[echo={{ gathered | length }}]]"},
        ]}),
    )
    .await;
    let ended = outcome_within(&stack, &chain, Duration::from_mins(3)).await;
    let took = began.elapsed();
    assert_eq!(
        (&ended["state"], &ended["completed"]),
        (&json!("completed"), &json!(1002))
    );
    assert_eq!(output(&stack, &chain, "merge").await, "1000");
    let ideal = LATENCY * 3;
    eprintln!(
        "1,000 items out and together: {took:.2?}, ideal {ideal:?}, {:.1} % over it",
        (took.as_secs_f64() / ideal.as_secs_f64() - 1.0) * 100.0
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_ten_thousand_steps_completes() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    stack.set_env("LONGSHORE_CONCURRENCY", "500");
    let steps: Vec<_> = (0..10_000)
        .map(|at| {
            let needs: Vec<String> = (at >= 100)
                .then(|| format!("s{}", at - 100))
                .into_iter()
                .collect();
            json!({"name": format!("s{at}"), "needs": needs, "prompt": "x"})
        })
        .collect();
    let chain = begin(&stack, &json!({"id": "long", "steps": steps})).await;
    let _worker = stack.worker().unwrap();
    let ended = outcome_within(&stack, &chain, Duration::from_mins(5)).await;
    assert_eq!(
        (&ended["state"], &ended["completed"]),
        (&json!("completed"), &json!(10_000))
    );
}

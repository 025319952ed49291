//! What the outcome of a chain holds.

use std::fs;

use longshore_protocol::{chain::ChainId, money::Usd};
use longshore_tests::stack::{Options, Stack};
use serde_json::{Value, json};

use super::{begin, outcome};

/// Waits for a chain's outcome, and checks that it fits the schema.
async fn valid_outcome(stack: &Stack, chain: &ChainId) -> Value {
    let schema = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/protocol/outcome.schema.json"
    );
    let schema: Value = serde_json::from_slice(&fs::read(schema).unwrap()).unwrap();
    let _ended = outcome(stack, chain).await;
    let stored: String = redis::cmd("GET")
        .arg(stack.broker.keys().result(&chain.outcome()))
        .query_async(&mut stack.connection().await.unwrap())
        .await
        .unwrap();
    let ended: Value = serde_json::from_str(&stored).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<_> = validator.iter_errors(&ended).collect();
    assert!(faults.is_empty(), "{faults:?}: {ended:#}");
    ended
}

/// What the ledger and the provider's invoice say that all jobs have cost.
async fn recorded_cost(stack: &Stack) -> Usd {
    let books = stack.books().await.unwrap();
    books.balance();
    let costs = books.ledger.iter().filter_map(|row| row.cost_usd);
    costs.fold(Usd::ZERO, |sum, cost| sum + cost)
}

fn cost(outcome: &Value) -> Usd {
    outcome["cost_usd"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_last_step_leaves_the_answer_before_it() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "support", "metadata": {"ticket": 7, "of": {"a": [1]}}, "steps": [
            {"name": "sort", "prompt": "[[echo={\"angry\": 2}]]"},
            {"name": "answer", "needs": ["sort"], "prompt": "[[echo=Dear \"customer\"]] [[tokens=100,20]]"},
            {"name": "apology", "needs": ["sort", "answer"], "when": "steps.sort.json.angry >= 8",
             "prompt": "{{ steps.answer.output }}"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let ended = valid_outcome(&stack, &chain).await;
    assert_eq!(ended["output"], "Dear \"customer\"");
    assert_eq!(ended["outputs"], json!({"answer": "Dear \"customer\""}));
    assert_eq!(ended["metadata"], json!({"ticket": 7, "of": {"a": [1]}}));
    let counts =
        ["kind", "total_steps", "completed", "skipped", "attempts"].map(|name| &ended[name]);
    assert_eq!(
        counts,
        [&json!("chain"), &json!(3), &json!(2), &json!(1), &json!(2)]
    );
    assert!(ended["input_tokens"].as_u64() > Some(100), "{ended:#}");
    assert_eq!(ended["finish_reason"], "stop");
    assert_eq!(cost(&ended), recorded_cost(&stack).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_chain_says_what_failed_and_gives_the_answers_it_has() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "partly", "steps": [
            {"name": "facts", "prompt": "[[echo=facts]]"},
            {"name": "list", "prompt": "[[echo=[1, 2, 3]]]"},
            {"name": "each", "needs": ["list"], "foreach": "steps.list.json", "min_success": 1,
             "fallback": false,
             "prompt": "{% if item == 2 %}[[status=400]]{% else %}[[echo=item {{ item }}]]{% endif %}"},
            {"name": "broken", "needs": ["facts"], "fallback": false, "prompt": "[[status=400]]"},
            {"name": "never", "needs": ["broken"], "prompt": "x"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let ended = valid_outcome(&stack, &chain).await;
    assert_eq!(ended["state"], "failed");
    assert_eq!(ended["output"], Value::Null);
    assert_eq!(
        ended["outputs"],
        json!({"each": ["item 1", null, "item 3"], "facts": "facts"})
    );
    let errors = ended["errors"].as_array().unwrap();
    let mut failed: Vec<_> = errors
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    failed.sort_unstable();
    assert_eq!(failed, ["partly/broken", "partly/each/1"]);
    let error = ended["error"].as_str().unwrap();
    assert!(
        error.contains("HTTP 400") && error.ends_with("(1 more failed)"),
        "{error}"
    );
    assert_eq!(ended["error_class"], "bad_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_runs_again_counts_its_earlier_attempts_once() {
    let stack = Stack::start(Options::default()).await.unwrap();
    // Both attempts of each run are billed.
    let chain = begin(
        &stack,
        &json!({"id": "twice", "steps": [
            {"name": "wrong", "fallback": false, "prompt": "[[echo=no number]] [[tokens=1000,1000]]",
             "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "integer"}}}},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let first = valid_outcome(&stack, &chain).await;
    assert_eq!(first["state"], "failed");
    assert_eq!(cost(&first), recorded_cost(&stack).await);
    for again in [
        ["chain", "retry", "twice"],
        ["dlq", "replay", "twice/wrong"],
    ] {
        let ran = stack.longshore(&again).await.unwrap();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let ended = valid_outcome(&stack, &chain).await;
        let recorded = recorded_cost(&stack).await;
        assert_eq!(cost(&ended), recorded, "{again:?}");
        assert!(recorded > cost(&first));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_of_a_batch_fits_the_schema() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let lines = ["[[echo=good]]", "[[status=400]]"];
    let lines = lines.map(|prompt| json!({"prompt": prompt}).to_string());
    stack.write("tasks.jsonl", &lines.join("\n")).unwrap();
    let tasks = stack.dir().join("tasks.jsonl");
    let ran = stack
        .longshore(&[
            "batch",
            tasks.to_str().unwrap(),
            "--id",
            "bundle",
            "--detach",
        ])
        .await
        .unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ended = valid_outcome(&stack, &ChainId::parse("bundle").unwrap()).await;
    assert_eq!(ended["kind"], "batch");
    assert_eq!(ended["errors"][0]["id"], "bundle/task/1");
    assert_eq!(ended["errors"][0]["error_class"], "bad_request");
}

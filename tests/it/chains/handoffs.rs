//! What steps pass on to one another.

use longshore_protocol::id::JobId;
use longshore_tests::stack::{Options, Stack};
use serde_json::json;

use super::{begin, outcome, output};

#[tokio::test(flavor = "multi_thread")]
async fn outputs_pass_from_step_to_step() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "cities", "name": "three cities", "tenant": "acme", "steps": [
            {"name": "research", "prompt": r#"[[echo={"cities":["Rome","Oslo","Lima"],"score":8}]]"#},
            {"name": "each", "needs": ["research"], "foreach": "steps.research.json.cities",
             "prompt": "[[echo={{ index }} {{ item }}]]"},
            {"name": "merge", "gather": "each",
             "prompt": "[[echo={% for one in gathered %}{{ one.output }};{% endfor %}]]"},
            {"name": "good", "needs": ["research", "merge"], "when": "steps.research.json.score > 7",
             "prompt": "[[echo={{ chain.id }}: {{ steps.merge.summary }}]]"},
            {"name": "bad", "needs": ["research"], "when": "steps.research.json.score <= 7", "prompt": "never"},
            {"name": "last", "needs": ["good", "bad"],
             "prompt": "[[echo={{ steps.good.output | upper }}, {{ steps.bad.state }}]]"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(
        (&ended["state"], &ended["completed"], &ended["skipped"]),
        (&json!("completed"), &json!(7), &json!(1)),
        "{ended}"
    );
    assert_eq!(output(&stack, &chain, "each/2").await, "2 Lima");
    assert_eq!(
        output(&stack, &chain, "merge").await,
        "0 Rome;1 Oslo;2 Lima;"
    );
    assert_eq!(
        output(&stack, &chain, "last").await,
        "CITIES: 0 ROME;1 OSLO;2 LIMA;, skipped"
    );
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(
        books.invoice.len(),
        7,
        "research, three items, merge, good, last"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_never_runs_without_the_outputs_it_needs() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "lost", "steps": [
            {"name": "first", "prompt": "[[echo=found]]"},
            {"name": "wait", "needs": ["first"], "delay": 2, "prompt": "{{ steps.first.output }}"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let _scheduler = stack.scheduler().unwrap();
    assert_eq!(output(&stack, &chain, "first").await, "found");
    let contexts = stack.broker.keys().chain_contexts(&chain);
    let gone: i64 = redis::cmd("DEL")
        .arg(contexts)
        .query_async(&mut stack.connection().await.unwrap())
        .await
        .unwrap();
    assert_eq!(gone, 1);
    assert_eq!(
        output(&stack, &chain, "wait").await,
        "Handoff context not found: lost/first. Task cannot proceed."
    );
    assert_eq!(outcome(&stack, &chain).await["state"], "failed");
    assert_eq!(stack.books().await.unwrap().invoice.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_with_a_missing_value_names_the_value_and_the_place() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "vague", "steps": [
            {"name": "first", "prompt": "[[echo=no JSON]]"},
            {"name": "second", "needs": ["first"], "prompt": "{{ steps.first.json.score }}"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let output = output(&stack, &chain, "second").await;
    assert!(
        output.starts_with("step `second`:") && output.contains("JSON"),
        "{output}"
    );
    let dead_letter = stack.longshore(&["dlq", "list"]).await.unwrap().stdout;
    assert!(dead_letter.contains("bad_template"), "{dead_letter}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spawning_step_ends_with_its_last_spawned_job() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let plan = r#"[[echo=["say one", {"prompt": "say two", "type": "research"}]]]"#;
    let alone = json!({"prompt": plan, "spawn": true, "tenant": "acme", "id": "planner"});
    stack.xadd(&[("job", &alone.to_string())]).await.unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "planned", "steps": [
            {"name": "plan", "prompt": plan, "spawn": true},
            {"name": "sum", "needs": ["plan"], "prompt": "[[echo={{ steps.plan.outputs | length }} answers]]"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    assert_eq!(output(&stack, &chain, "sum").await, "2 answers");
    assert_eq!(outcome(&stack, &chain).await["completed"], 4);
    let child = JobId::parse("planner/1").unwrap();
    assert!(stack.outcome(&child).await.unwrap().success);
    let books = stack.books().await.unwrap();
    books.balance();
    let row = stack
        .ledger
        .job(&child)
        .await
        .unwrap()
        .unwrap()
        .row
        .job
        .labels;
    assert_eq!(
        (row.parent_id.as_deref(), row.tenant.as_deref()),
        (Some("planner"), Some("acme"))
    );
}

//! How chains end: rejected, failed, escalated, within their budget, delivered to a webhook.

use std::{fmt::Write as _, sync::atomic::Ordering};

use longshore_protocol::{chain::ChainId, id::JobId};
use longshore_simulator::{Dialect, Faults};
use longshore_tests::stack::{Options, Stack, eventually};
use serde_json::json;

use super::{begin, outcome, output};
use crate::webhook_receiver::{SECRET, WebhookReceiver};

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_chain_becomes_a_dead_letter_that_names_every_fault() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let document = json!({"id": "bad", "steps": [
        {"name": "a", "needs": ["b"], "prompt": "x"},
        {"name": "b", "needs": ["a"], "prompt": "{{ steps.nobody.output }}"},
        {"name": "b", "prompt": "x"},
    ]});
    let entry_id = stack
        .xadd(&[("chain", &document.to_string())])
        .await
        .unwrap();
    let _worker = stack.worker().unwrap();
    let shown = eventually("it is a dead letter", || async {
        let ran = stack.longshore(&["dlq", "show", entry_id.as_str()]).await?;
        anyhow::ensure!(ran.code == Some(0), "{ran:?}");
        Ok(ran.stdout)
    })
    .await
    .unwrap();
    for part in ["bad_chain", "a → b → a", "nobody", "`b`"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let chain = ChainId::parse("bad").unwrap();
    assert_eq!(stack.broker.chains().outcome(&chain).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_chain_runs_its_failed_step_and_keeps_paid_outputs() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "again", "steps": [
            {"name": "paid", "prompt": "[[echo=once]]"},
            // Every provider fails it twice.
            {"name": "broken", "needs": ["paid"], "fallback": false, "prompt": "[[fail_first=1:400]] {{ steps.paid.output }}"},
            {"name": "last", "needs": ["broken"], "prompt": "[[echo=done]]"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    assert_eq!(outcome(&stack, &chain).await["state"], "failed");
    let again = stack.broker.chains().retry(&chain, &[]).await.unwrap();
    assert_eq!(again, longshore_broker::ChainRetried::Again(1));
    assert_eq!(output(&stack, &chain, "last").await, "done");
    let ended = outcome(&stack, &chain).await;
    assert_eq!(
        (&ended["state"], &ended["failed"]),
        (&json!("completed"), &json!(0))
    );
    let books = stack.books().await.unwrap();
    books.balance();
    let first = JobId::parse("again/paid").unwrap();
    assert_eq!(
        books
            .ledger
            .iter()
            .filter(|row| row.job_id == first)
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_continues_when_its_dead_letter_is_replayed() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "replayed", "steps": [
            {"name": "broken", "fallback": false, "prompt": "[[fail_first=1:400]] hello"},
            {"name": "last", "needs": ["broken"], "prompt": "[[echo=done]]"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    assert_eq!(outcome(&stack, &chain).await["state"], "failed");
    let ran = stack
        .longshore(&["dlq", "replay", "replayed/broken"])
        .await
        .unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(output(&stack, &chain, "last").await, "done");
    assert_eq!(outcome(&stack, &chain).await["state"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_escalates_to_models_of_a_higher_tier() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let mut yaml = String::from("providers:\n");
    for (name, model) in [("small", "gpt-4o-mini"), ("large", "gpt-4o")] {
        let url = stack.simulator.base_url(name, Dialect::Openai);
        writeln!(
            yaml,
            "  {name}: {{dialect: openai, base_url: \"{url}\", api_key: k, default_model: {model}}}"
        )
        .unwrap();
    }
    yaml.push_str("models:\n");
    for (name, model, tier, price) in [
        ("small", "gpt-4o-mini", "fast", "0.15"),
        ("large", "gpt-4o", "advanced", "2.5"),
    ] {
        writeln!(
            yaml,
            "  - {{provider: {name}, model: {model}, tier: {tier}, context_window: 128000, \
             max_output_tokens: 16384, input_per_million: \"{price}\", output_per_million: \"10\"}}"
        )
        .unwrap();
    }
    stack.config_yaml(&yaml).unwrap();
    let fails = Faults {
        rate_500: 1.0,
        ..Faults::default()
    };
    stack.simulator.set_faults(Some("small"), fails).unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "higher", "steps": [
            {"name": "hard", "model": "gpt-4o-mini", "on_failure": "escalate",
             "retry": {"max_retries": 0}, "prompt": "[[echo=done]]"},
        ]}),
    )
    .await;
    let private = begin(
        &stack,
        &json!({"id": "private", "steps": [
            {"name": "hard", "platform": "small", "fallback": false, "on_failure": "escalate",
             "retry": {"max_retries": 0}, "prompt": "[[echo=done]]"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    assert_eq!(output(&stack, &chain, "hard").await, "done");
    assert_eq!(outcome(&stack, &chain).await["state"], "completed");
    let job = stack
        .outcome(&JobId::parse("higher/hard").unwrap())
        .await
        .unwrap();
    assert_eq!(job.platform.as_deref(), Some("large"));
    // Without fallback, no other platform reads the prompt.
    assert_eq!(outcome(&stack, &private).await["state"], "failed");
    let invoice = stack.books().await.unwrap().invoice;
    assert_eq!(invoice.len(), 1, "{invoice:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_stays_within_its_budget() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "thrifty", "max_cost_usd": "0.000001", "steps": [
            {"name": "dear", "max_tokens": 1000, "prompt": "x"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let output = output(&stack, &chain, "dear").await;
    assert!(
        output.contains("the max_cost_usd of the chain thrifty"),
        "{output}"
    );
    assert_eq!(outcome(&stack, &chain).await["state"], "failed");
    assert_eq!(stack.books().await.unwrap().invoice.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_follow_up_job_reads_the_outputs_of_the_steps() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "told", "on_complete": {"job": {"prompt": "[[echo=after {{ steps.a.output }}]]"}},
            "steps": [{"name": "a", "prompt": "[[echo=one]]"}]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    assert_eq!(output(&stack, &chain, "on_complete").await, "after one");
    assert_eq!(outcome(&stack, &chain).await["completed"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_chain_is_delivered_to_a_webhook_and_retried() {
    let receiver = WebhookReceiver::start().await;
    let stack = Stack::start(Options {
        env: vec![("WEBHOOK_SECRET".to_owned(), format!("whsec_{SECRET}"))],
        ..Options::default()
    })
    .await
    .unwrap();
    let (base, hook) = (
        stack.simulator.base_url("one", Dialect::Openai),
        &receiver.url,
    );
    stack
        .config_yaml(&format!(
            r#"
webhooks: {{ hosts: ["{hook}"], secret: "${{WEBHOOK_SECRET}}", timeout: 2s }}
providers:
  one: {{ dialect: openai, base_url: "{base}", api_key: k, default_model: gpt-4o-mini }}
models:
  - {{ provider: one, model: gpt-4o-mini, tier: standard, context_window: 128000, max_output_tokens: 16384,
      input_per_million: "0.15", output_per_million: "0.6" }}
"#
        ))
        .unwrap();
    receiver.away.store(true, Ordering::SeqCst);
    let chain = begin(
        &stack,
        &json!({"id": "hooked", "on_complete": {"webhook": format!("{hook}/ended")},
            "steps": [{"name": "a", "prompt": "x"}]}),
    )
    .await;
    let refused = begin(
        &stack,
        &json!({"id": "elsewhere", "on_complete": {"webhook": "https://elsewhere.example/x"},
            "steps": [{"name": "a", "prompt": "x"}]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let _scheduler = stack.scheduler().unwrap();
    assert_eq!(outcome(&stack, &chain).await["state"], "completed");
    eventually("it was rejected once", || async {
        anyhow::ensure!(!receiver.refused.lock().unwrap().is_empty());
        Ok(())
    })
    .await
    .unwrap();
    receiver.away.store(false, Ordering::SeqCst);
    let delivered = eventually("it is delivered again", || async {
        let received = receiver.received.lock().unwrap().clone();
        received
            .into_iter()
            .next()
            .ok_or_else(|| anyhow::anyhow!("not yet"))
    })
    .await
    .unwrap();
    assert_eq!(delivered.1["type"], "chain.ended");
    assert_eq!(delivered.1["data"]["id"], "hooked");
    assert_eq!(delivered.1["data"]["state"], "completed");
    assert!(
        receiver.refused.lock().unwrap().contains(&delivered.0),
        "the same id"
    );
    let output = output(&stack, &refused, "on_complete").await;
    assert!(output.contains("webhooks.hosts"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_in_the_ledger_equals_the_chain_in_redis() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "agreed", "steps": [{"name": "a", "prompt": "x"}]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let _scheduler = stack.scheduler().unwrap();
    assert_eq!(outcome(&stack, &chain).await["state"], "completed");
    stack.recorded().await.unwrap();
    let ran = stack.longshore(&["reconcile"]).await.unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producers_job_with_the_id_of_a_parked_step_does_not_replace_it() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let run = async |words: &[&str]| {
        let ran = stack.longshore(words).await.unwrap();
        assert_eq!(ran.code, Some(0), "{ran:?}");
    };
    run(&["pause", "type", "research"]).await;
    let document = json!({"id": "weekly", "steps": [
        {"name": "draft", "type": "research", "prompt": "[[echo=done]]"},
    ]});
    let chain = begin(&stack, &document).await;
    let _worker = stack.worker().unwrap();
    let parked = async |count: u64| {
        let is_parked = eventually("the jobs are parked", || async {
            let sizes = stack.broker.lanes().sizes().await?;
            let expected = [("paused:type:research".to_owned(), count)];
            anyhow::ensure!(sizes == expected, "{sizes:?}");
            Ok(())
        });
        is_parked.await.unwrap();
    };
    parked(1).await;
    stack
        .xadd(&[
            ("id", "weekly/draft"),
            ("type", "research"),
            ("prompt", "x"),
        ])
        .await
        .unwrap();
    parked(2).await;
    let _scheduler = stack.scheduler().unwrap();
    run(&["resume", "type", "research"]).await;
    assert_eq!(outcome(&stack, &chain).await["state"], "completed");
}

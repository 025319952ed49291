//! What the commands show of limits: before a batch is enqueued, while jobs are parked, and after calls.

use std::time::Duration;

use longshore_broker::TenantEntry;
use longshore_protocol::{
    checkpoint::Checkpoint,
    clock::local_time,
    id::{JobId, QueueName, WorkerId},
    serialized::Serialized,
};
use longshore_simulator::Dialect;
use longshore_tests::stack::{Options, Ran, Stack, expect_success};
use serde_json::Value;

use crate::simulated::{Model, SimulatedProvider, config_yaml};

async fn stack() -> Stack {
    let stack = Stack::start(Options::default()).await.unwrap();
    let away = local_time() + chrono::TimeDelta::hours(12);
    let limits = format!(
        "{{requests_per_day: 10, reset_at: \"{}\"}}",
        away.format("%H:%M")
    );
    let meter = SimulatedProvider::limited("meter", Model::Cheap, &limits);
    stack
        .config_yaml(&config_yaml(&stack, &[meter], ""))
        .unwrap();
    stack
}

async fn batch(stack: &Stack, tasks: usize, options: &[&str]) -> Ran {
    let tasks: Vec<Value> = (0..tasks)
        .map(|at| serde_json::json!({"prompt": format!("task {at}")}))
        .collect();
    let text = serde_json::to_string(&tasks).unwrap();
    std::fs::write(stack.dir().join("batch.json"), text).unwrap();
    let arguments = [&["batch", "batch.json", "--parallel", "100"], options].concat();
    stack.longshore(&arguments).await.unwrap()
}

async fn available(stack: &Stack) -> u64 {
    let queue = QueueName::default();
    stack.broker.queues().depth(&queue).await.unwrap().available
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_would_exhaust_a_quota_needs_confirmation() {
    let stack = stack().await;
    let refused = batch(&stack, 9, &["--detach", "-o", "out.json"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let refused = batch(&stack, 9, &["--detach"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert_eq!(refused.stdout, "");
    let warning = "meter quota at 90% (9/10) after this batch.";
    assert!(
        refused.stderr.contains(warning) && refused.stderr.contains("--yes"),
        "{}",
        refused.stderr
    );
    assert_eq!(available(&stack).await, 0, "nothing was enqueued");

    expect_success(batch(&stack, 8, &["--detach"]).await);
    assert_eq!(available(&stack).await, 8, "there is room for these");

    let sure = batch(&stack, 9, &["--detach", "--yes"]).await;
    assert!(sure.stderr.contains(warning), "{}", sure.stderr);
    expect_success(sure);
    assert_eq!(available(&stack).await, 17);
}

#[tokio::test(flavor = "multi_thread")]
async fn quota_and_status_show_usage_and_parked_jobs() {
    let stack = stack().await;
    let jobs: Vec<String> = (0..12)
        .map(|at| format!(r#"{{"prompt":"task {at}","fallback":false}}"#))
        .collect();
    let _ids = stack.enqueue(&jobs).await.unwrap();
    let _worker = stack.worker().unwrap();
    let _scheduler = stack.scheduler().unwrap();
    longshore_tests::stack::eventually("the quota is spent", || async {
        let ran = stack.longshore(&["quota", "--format", "json"]).await?;
        let json: Value = serde_json::from_str(&ran.stdout)?;
        let meter = &json["quota"]["meter"];
        anyhow::ensure!(
            meter["used"] == 10
                && meter["limits"][0]["held"] == 0
                && meter["limits"][0]["waiting"] == 2,
            "{json}"
        );
        Ok(())
    })
    .await
    .unwrap();
    let text = expect_success(stack.longshore(&["quota"]).await.unwrap());
    for part in [
        "=== Quota Status ===\nPlatform      Used    Limit    Remaining    Reset\n",
        "\nmeter         10      10       0            20",
        "\nWarnings:\n  - meter at 100% (10/10): Critical threshold warning\n",
        "\nWaiting:\n  - 2 jobs wait for meter's requests a day\n",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let status = expect_success(stack.longshore(&["status"]).await.unwrap());
    for part in [
        "  2 waiting for meter's requests a day\n",
        "\nmeter         10      10       0            20",
    ] {
        assert!(status.contains(part), "no {part:?} in {status}");
    }
    let list = expect_success(stack.longshore(&["jobs", "list"]).await.unwrap());
    let waits = "  scheduled  meter's requests a day  ";
    assert_eq!(list.matches(waits).count(), 2, "{list}");
    let list = expect_success(
        stack
            .longshore(&["jobs", "list", "--state", "scheduled", "--format", "json"])
            .await
            .unwrap(),
    );
    let jobs: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(jobs[0]["waits_for"], "meter's requests a day");
    let mut texts = Vec::new();
    for job in jobs.as_array().unwrap() {
        let id = job["job_id"].as_str().unwrap();
        texts.push(expect_success(
            stack.longshore(&["jobs", "why", id]).await.unwrap(),
        ));
    }
    texts.sort_by_key(|text| text.contains(", next in line"));
    let why = "waiting for capacity under meter's requests a day";
    assert!(
        texts[0].contains(&format!("{why}, behind 1 job; expected in "))
            && texts[1].contains(&format!("{why}, next in line; expected in ")),
        "{texts:?}"
    );
    let bound = "; no other platform is tried because its `fallback` is false; ";
    assert!(texts.iter().all(|text| text.contains(bound)), "{texts:?}");
}

/// Parks a job as a worker does whose slots are all in use.
async fn park(stack: &Stack, job: &str, tenant: &str, weight: u32) {
    let worker = WorkerId::from_stored("w");
    let queues = [QueueName::default()];
    stack.enqueue(&[job.to_owned()]).await.unwrap();
    let mut reader = stack
        .broker
        .queues()
        .reader(&queues, &worker)
        .await
        .unwrap();
    let delivered = reader.read_ahead(1).await.unwrap().remove(0);
    let id = JobId::from_entry(&delivered.delivery.entry_id);
    let sorted = TenantEntry {
        delivery: delivered.delivery,
        checkpoint: Serialized::new(&Checkpoint::fresh(id.clone(), local_time())).ok(),
        id,
        tenant: tenant.to_owned(),
        weight,
    };
    let count = reader.park_by_tenant(&queues[0], &[sorted]).await.unwrap();
    assert_eq!(count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_in_a_tenant_lane_shows_whose_turn_it_is() {
    let stack = Stack::start(Options {
        latency: Duration::ZERO,
        ..Options::default()
    })
    .await
    .unwrap();
    park(&stack, r#"{"prompt":"a","tenant":"acme"}"#, "acme", 3).await;
    park(&stack, r#"{"prompt":"b","tenant":"globex"}"#, "globex", 1).await;
    let own = r#"{"prompt":"c","tenant":"globex","id":"inv-42"}"#;
    park(&stack, own, "globex", 1).await;

    // Only the message has the producer's own id.
    let why = expect_success(stack.longshore(&["jobs", "why", "inv-42"]).await.unwrap());
    assert!(
        why.starts_with(
            "inv-42: waiting for the turn of tenant globex in queue default, behind 1 job of its own; 1 turn ahead: \
             tenant acme; 2 tenants share free slots by weight (its weight: 1)"
        ),
        "{why}"
    );
    let show = expect_success(stack.longshore(&["jobs", "show", "inv-42"]).await.unwrap());
    assert!(
        show.contains("available, waits for the turn of tenant globex in queue default"),
        "{show}"
    );
    let ran = stack.longshore(&["jobs", "why", "inv-43"]).await.unwrap();
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    let queues = expect_success(stack.longshore(&["queues"]).await.unwrap());
    for part in [
        "the turn of tenant acme in queue default       1\n",
        "the turn of tenant globex in queue default     2\n",
    ] {
        assert!(queues.contains(part), "no {part:?} in {queues}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_budget_routes_even_pinned_jobs_to_free_models() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let (paid, free) = (
        stack.simulator.base_url("paid", Dialect::Openai),
        stack.simulator.base_url("free", Dialect::Openai),
    );
    stack
        .config_yaml(&format!(
            r#"
budgets:
  - {{ name: all, scope: overall, limit_usd: "0.000001", per: ever, kind: hard, at_limit: free }}
providers:
  paid: {{ dialect: openai, base_url: "{paid}", api_key: k, default_model: gpt-4o }}
  free: {{ dialect: openai, base_url: "{free}", api_key: k, default_model: gpt-4o-mini, billing: free }}
models:
  - {{ provider: paid, model: gpt-4o, tier: standard, context_window: 128000, max_output_tokens: 16384,
      input_per_million: "2.5", output_per_million: "10" }}
  - {{ provider: free, model: gpt-4o-mini, tier: standard, context_window: 128000, max_output_tokens: 16384,
      input_per_million: "0", output_per_million: "0" }}
"#
        ))
        .unwrap();
    let pinned = r#"{"prompt": "x", "model": "gpt-4o", "max_tokens": 100}"#;
    let jobs = stack.enqueue(&[pinned.to_owned()]).await.unwrap();
    let _worker = stack.worker().unwrap();
    let outcome = stack.outcome(&jobs[0]).await.unwrap();
    assert_eq!(
        (outcome.success, outcome.platform.as_deref()),
        (true, Some("free")),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_never_costs_more_than_its_limit() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let meter = SimulatedProvider::unlimited("meter", Model::Cheap);
    // 3,000 tokens of output cost $0.0018, and 4,096, the fewest that an answer is limited to, $0.0024576.
    let rest = "routing: {max_cost_per_task: \"0.002\"}";
    stack
        .config_yaml(&config_yaml(&stack, &[meter], rest))
        .unwrap();
    let _worker = stack.worker().unwrap();
    let outcome = async |fields: &[(&str, &str)]| {
        let job = stack.xadd(&[&[("prompt", "x")], fields].concat()).await;
        stack.outcome(&job.unwrap()).await.unwrap()
    };
    assert!(outcome(&[("max_tokens", "3000")]).await.success);
    let dear = outcome(&[]).await.error.unwrap();
    assert!(
        dear.ends_with(
            "but routing.max_cost_per_task allows $0.002; lower max_tokens or raise the cap"
        ),
        "{dear}"
    );
    let own = outcome(&[("max_tokens", "3000"), ("max_cost_usd", "0.001")]).await;
    let error = own.error.unwrap();
    assert!(error.contains("but max_cost_usd allows $0.001;"), "{error}");
    assert_eq!(
        stack.simulator.stats().requests,
        1,
        "nobody was called for those"
    );
}

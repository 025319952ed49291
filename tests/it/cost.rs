//! Answers are limited to what jobs and budgets may cost.

use longshore_protocol::{call::FinishReason, outcome::Outcome, state::JobState};
use longshore_tests::stack::{Options, Stack};
use serde_json::json;

use crate::simulated::{Model, SimulatedProvider, config_yaml, outcome};

/// A stack with one model, whose longest answer costs $0.16.
async fn stack(rest: &str) -> Stack {
    let stack = Stack::start(Options::default()).await.unwrap();
    let provider = SimulatedProvider::unlimited("a", Model::Dear);
    let yaml = config_yaml(&stack, &[provider], rest);
    stack.config_yaml(&yaml).unwrap();
    stack
}

/// Why the model of the job's first attempt was chosen.
async fn reason(stack: &Stack, job: &Outcome) -> String {
    stack.recorded().await.unwrap();
    let report = stack.ledger.job(&job.id).await.unwrap().unwrap();
    report.history.first().unwrap().routing_reason.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_may_cost_less_than_the_longest_answer() {
    let stack = stack("routing: {max_cost_per_task: 0.1}").await;
    let _worker = stack.worker().unwrap();
    let capped = outcome(&stack, &json!({"prompt": "x"})).await;
    assert_eq!(capped.state, JobState::Completed, "{capped:?}");
    let reason = reason(&stack, &capped).await;
    assert!(
        reason.contains("; answer limited to 9998 tokens"),
        "{reason}"
    );
    // 1,000 tokens would be the most: too short for an answer that is paid for.
    let dropped = outcome(&stack, &json!({"prompt": "x", "max_cost_usd": "0.01"})).await;
    assert_eq!(
        dropped.error_class.as_deref(),
        Some("budget_exceeded"),
        "{dropped:?}"
    );
    let short = json!({"prompt": "x", "max_cost_usd": "0.01", "max_tokens": 900});
    assert_eq!(outcome(&stack, &short).await.state, JobState::Completed);
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_is_told_the_limit() {
    let stack = stack("routing: {max_cost_per_task: 0.00015, min_answer_tokens: 10}").await;
    let _worker = stack.worker().unwrap();
    // The simulator's answers have about 30 tokens; 13 are paid for.
    let cut = outcome(&stack, &json!({"prompt": "x"})).await;
    assert_eq!(cut.finish_reason, Some(FinishReason::Length), "{cut:?}");
    assert!(cut.output_tokens <= 13, "{cut:?}");
    let impossible = outcome(&stack, &json!({"prompt": "x".repeat(1000)})).await;
    assert_eq!(
        impossible.error_class.as_deref(),
        Some("budget_exceeded"),
        "{impossible:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_below_the_longest_answer_is_used_to_the_end() {
    let budget = "budgets: [{name: small, scope: overall, limit_usd: 0.1, per: ever, kind: hard, at_limit: dead_letter}]";
    let stack = stack(budget).await;
    let _worker = stack.worker().unwrap();
    // 4,000 answer tokens: $0.04 each.
    let job = json!({"prompt": "[[tokens=100,4000]] x"});
    let mut ends = Vec::new();
    for _ in 0..3 {
        ends.push(outcome(&stack, &job).await.state);
    }
    assert_eq!(
        ends,
        [
            JobState::Completed,
            JobState::Completed,
            JobState::Discarded
        ]
    );
    stack.books().await.unwrap().balance();
}

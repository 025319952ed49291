//! Chains end to end: one Redis command in, real workers, and the simulator's invoice.

mod ends;
mod gates;
mod handoffs;
mod kills;
mod models;
mod outcomes;
mod recipes;
mod reviews;
mod tools;
mod validate;
mod wide;

use std::time::Duration;

use anyhow::Context as _;
use longshore_protocol::chain::ChainId;
use longshore_tests::stack::{Stack, eventually, within};
use serde_json::Value;

/// Enqueues a chain with an id of its own, as any producer does.
async fn begin(stack: &Stack, document: &Value) -> ChainId {
    stack
        .xadd(&[("chain", &document.to_string())])
        .await
        .unwrap();
    ChainId::parse(document["id"].as_str().unwrap()).unwrap()
}

/// Waits for a chain's outcome.
async fn outcome(stack: &Stack, chain: &ChainId) -> Value {
    let ended = eventually("the chain ends", || async {
        let outcome = stack.broker.chains().outcome(chain).await?;
        outcome.context("it has not ended")
    });
    serde_json::to_value(ended.await.unwrap()).unwrap()
}

/// Waits for the outcome of a chain with a timeout of the test's own.
async fn outcome_within(stack: &Stack, chain: &ChainId, timeout: Duration) -> Value {
    let ended = within(timeout, "the chain ends", || async {
        let outcome = stack.broker.chains().outcome(chain).await?;
        outcome.context("it has not ended")
    });
    serde_json::to_value(ended.await.unwrap()).unwrap()
}

/// The output of a step, or of an item of one.
async fn output(stack: &Stack, chain: &ChainId, instance: &str) -> String {
    let job = chain.job(&instance.parse().unwrap());
    let outcome = stack.outcome(&job).await.unwrap();
    outcome.output.unwrap_or_else(|| outcome.error.unwrap())
}

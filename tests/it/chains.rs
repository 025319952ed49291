//! Chains from outside: one Redis command in, real workers, and the simulator's invoice.

mod ends;
mod handoffs;
mod kills;
mod wide;

use std::time::Duration;

use anyhow::Context as _;
use longshore_protocol::chain::ChainId;
use longshore_tests::stack::{Stack, eventually, within};
use serde_json::Value;

/// Puts a chain in, as any producer does; it names its own id.
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
        let outcome = stack.broker.chain_outcome(chain).await?;
        outcome.context("it has not ended")
    });
    ended.await.unwrap()
}

/// The same, of one that takes longer.
async fn outcome_within(stack: &Stack, chain: &ChainId, patience: Duration) -> Value {
    let ended = within(patience, "the chain ends", || async {
        let outcome = stack.broker.chain_outcome(chain).await?;
        outcome.context("it has not ended")
    });
    ended.await.unwrap()
}

/// What a step, or an item of one, answered.
async fn output(stack: &Stack, chain: &ChainId, instance: &str) -> String {
    let job = chain.job(&instance.parse().unwrap());
    let outcome = stack.outcome(&job).await.unwrap();
    outcome.output.unwrap_or_else(|| outcome.error.unwrap())
}

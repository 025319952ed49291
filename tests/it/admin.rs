//! Operating a running system: pausing, resuming, cancelling, running now, bumping, listing workers, retention, reconciling.

mod bump;
mod cancel;
mod holds;
pub(crate) mod maintenance;
mod pause;
mod queues;
mod reconcile;
mod run_now;
mod workers;

use anyhow::ensure;
use longshore_protocol::id::JobId;
use longshore_tests::stack::{Stack, eventually, expect_success};
use serde_json::Value;

async fn json(stack: &Stack, words: &[&str]) -> anyhow::Result<Value> {
    let ran = stack
        .longshore(&[words, &["--format", "json"]].concat())
        .await?;
    ensure!(ran.code == Some(0), "{}{}", ran.stdout, ran.stderr);
    Ok(serde_json::from_str(&ran.stdout)?)
}

/// Waits until a lane holds this many jobs.
async fn wait_for_lane(stack: &Stack, lane: &str, count: u64) {
    eventually("jobs wait in the lane", || async {
        let lanes = stack.broker.lanes().sizes().await?;
        let held = lanes.iter().find(|(name, _)| name == lane);
        ensure!(held.map_or(0, |(_, held)| *held) == count, "{lanes:?}");
        Ok(())
    })
    .await
    .unwrap();
}

async fn explain(stack: &Stack, id: &JobId) -> String {
    expect_success(
        stack
            .longshore(&["jobs", "why", id.as_str()])
            .await
            .unwrap(),
    )
}

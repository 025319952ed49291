//! Operating a running system: pausing, resuming, cancelling, listing workers, retention, reconciling.

mod cancel;
mod keeping;
mod pause;
mod reconcile;
mod workers;

use std::time::Duration;

use anyhow::{bail, ensure};
use longshore_shared::id::JobId;
use longshore_tests::stack::{Options, Ran, Stack, eventually};
use serde_json::Value;

fn slow(latency: Duration) -> Options {
    Options {
        latency,
        ..Options::default()
    }
}

fn ok(ran: Ran) -> String {
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    ran.stdout
}

async fn json(stack: &Stack, words: &[&str]) -> anyhow::Result<Value> {
    let ran = stack
        .longshore(&[words, &["--format", "json"]].concat())
        .await?;
    ensure!(ran.code == Some(0), "{}{}", ran.stdout, ran.stderr);
    Ok(serde_json::from_str(&ran.stdout)?)
}

async fn in_mid_call(stack: &Stack, count: u64) {
    eventually("calls are in flight", || async {
        match stack.simulator.stats().in_flight {
            calls if calls >= count => Ok(()),
            calls => bail!("{calls} calls are in flight, not {count}"),
        }
    })
    .await
    .unwrap();
}

/// Waits until a lane holds this many jobs.
async fn waiting(stack: &Stack, lane: &str, count: u64) {
    eventually("jobs wait in the lane", || async {
        let lanes = stack.broker.lanes().await?;
        let held = lanes.iter().find(|(name, _)| name == lane);
        ensure!(held.map_or(0, |(_, held)| *held) == count, "{lanes:?}");
        Ok(())
    })
    .await
    .unwrap();
}

async fn why(stack: &Stack, id: &JobId) -> String {
    ok(stack
        .longshore(&["jobs", "why", id.as_str()])
        .await
        .unwrap())
}

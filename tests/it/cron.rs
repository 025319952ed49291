//! Killed and stopped schedulers, recurring jobs, and ten thousand jobs due at once.
//!
//! Those that measure time have a short form and a full one (`LONGSHORE_TEST_FULL=1`) and print their figures
//! with `--nocapture`.

mod commands;
mod due;
mod leaders;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use longshore_broker::CronStatus;
use longshore_protocol::id::QueueName;
use longshore_tests::stack::Stack;
use redis::AsyncCommands as _;
use serde_json::Value;

use crate::machine::{alone, beside_few, print_figures, size};

/// The messages in a queue, each with the time when it was enqueued (ms).
async fn queued(stack: &Stack, queue: &str) -> Vec<(i64, Value)> {
    type Rows = Vec<(String, BTreeMap<String, String>)>;
    let key = stack.broker.keys().queue(&QueueName::from_stored(queue));
    let mut connection = stack.connection().await.unwrap();
    let mut range = redis::cmd("XRANGE");
    let rows: Rows = range
        .arg(key)
        .arg("-")
        .arg("+")
        .query_async(&mut connection)
        .await
        .unwrap();
    rows.into_iter()
        .map(|(entry, fields)| {
            let (ms, _) = entry.split_once('-').unwrap();
            let job = fields.get("job").unwrap();
            (ms.parse().unwrap(), serde_json::from_str(job).unwrap())
        })
        .collect()
}

/// The tick that a message names.
fn tick_of(message: &Value) -> DateTime<Utc> {
    let tick = message.pointer("/metadata/cron/tick").unwrap();
    let tick = tick.as_str().unwrap();
    tick.parse().unwrap()
}

/// The state of the recurring job with this name.
async fn cron_state(stack: &Stack, name: &str) -> anyhow::Result<CronStatus> {
    let all = stack.broker.cron().list().await?;
    all.into_iter()
        .find(|one| one.record.name.as_str() == name)
        .ok_or_else(|| anyhow::anyhow!("no recurring job {name}"))
}

/// The name of the leader, if there is one.
async fn leader(stack: &Stack) -> Option<String> {
    let mut connection = stack.connection().await.unwrap();
    connection.get(stack.broker.keys().leader()).await.unwrap()
}

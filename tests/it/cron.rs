//! Schedulers that are killed and stopped, recurring jobs, and jobs that are due by the ten thousand.
//!
//! The tests here measure time, so they run one after another. Each has a short form for every day, and the
//! full one: `LONGSHORE_TEST_FULL=1`. Figures are printed with `--nocapture`.

mod commands;
mod due;
mod leaders;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use longshore_shared::{broker::CronStanding, id::QueueName};
use longshore_tests::stack::Stack;
use redis::AsyncCommands as _;
use serde_json::Value;

use crate::machine::{alone, beside_few, print_figures, size};

/// The messages that stand in a queue: when each was enqueued (ms), and what it says.
async fn queued(stack: &Stack, queue: &str) -> Vec<(i64, Value)> {
    type Rows = Vec<(String, BTreeMap<String, String>)>;
    let key = stack.broker.keys().queue(&QueueName::from_record(queue));
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

/// The tick that a message says that it is.
fn tick_of(message: &Value) -> DateTime<Utc> {
    let tick = message.pointer("/metadata/cron/tick").unwrap();
    let tick = tick.as_str().unwrap();
    tick.parse().unwrap()
}

/// How the recurring job of this name stands.
async fn standing(stack: &Stack, name: &str) -> anyhow::Result<CronStanding> {
    let all = stack.broker.cron_all().await?;
    all.into_iter()
        .find(|one| one.record.name.as_str() == name)
        .ok_or_else(|| anyhow::anyhow!("no recurring job {name}"))
}

/// Who leads, if anybody does.
async fn leader(stack: &Stack) -> Option<String> {
    let mut connection = stack.connection().await.unwrap();
    connection.get(stack.broker.keys().leader()).await.unwrap()
}

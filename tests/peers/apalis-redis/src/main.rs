//! apalis with its Redis backend.

use std::{process, time::Duration};

use apalis::prelude::*;
use apalis_redis::{Config, RedisStorage};
use peer_job::{Command, Job, Pace};

/// Without stored results and events; tasks stay locked while they run, as is the default.
fn config() -> Config {
    Config::default()
        .queue("bench")
        .batch_size(100)
        .emit_events(false)
        .persist_results(false)
}

/// How often an idle worker looks for jobs.
const POLL: Duration = Duration::from_millis(100);

async fn run(job: Job) -> Result<(), BoxDynError> {
    Ok(job.run().await?)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let connection = apalis_redis::connect(peer_job::redis_url()?).await?;
    let storage = RedisStorage::<Job>::new(connection);
    match Command::read()? {
        Command::Enqueue {
            count,
            per_second: None,
        } => {
            let mut storage = storage.with_config(config());
            for first in (0..count).step_by(1000) {
                let jobs = (first..count.min(first + 1000)).map(Job::now).collect();
                storage.push_bulk(jobs).await?;
            }
        }
        Command::Enqueue {
            count,
            per_second: Some(rate),
        } => {
            let mut storage = storage.with_config(config());
            let pace = Pace::new(rate);
            for number in 0..count {
                pace.until(number).await;
                storage.push(Job::now(number)).await?;
            }
        }
        Command::Work { concurrency } => {
            let storage = storage.with_config(config());
            let worker = WorkerBuilder::new(format!("bench-{}", process::id()))
                .backend(storage.poll_with_interval(POLL))
                .concurrency(concurrency)
                .parallelize(tokio::spawn)
                .build(run);
            tokio::select! {
                ended = worker.run() => ended?,
                done = peer_job::terminated() => done?,
            }
        }
    }
    Ok(())
}

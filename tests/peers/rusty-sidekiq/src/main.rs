//! rusty-sidekiq: Sidekiq's protocol in Rust.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use peer_job::{Command, Job, Pace};
use sidekiq::{Processor, ProcessorConfig, RedisConnectionManager, RedisPool, Worker};

const QUEUE: &str = "default";

/// Connections of a process at most. A slot that waits for a job uses one, a job that runs uses none.
const CONNECTIONS: u32 = 100;

#[derive(Clone)]
struct Bench;

#[async_trait::async_trait]
impl Worker<Job> for Bench {
    async fn perform(&self, job: Job) -> sidekiq::Result<()> {
        job.run()
            .await
            .map_err(|error| sidekiq::Error::Message(error.to_string()))
    }
}

async fn enqueue(redis: &RedisPool, number: usize) -> anyhow::Result<()> {
    Ok(Bench::perform_async(redis, Job::now(number)).await?)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let manager = RedisConnectionManager::new(peer_job::redis_url()?)?;
    let command = Command::read()?;
    let connections = match command {
        Command::Enqueue { .. } => 8,
        Command::Work { concurrency } => CONNECTIONS.min(u32::try_from(concurrency)? + 4),
    };
    let redis = bb8::Pool::builder()
        .max_size(connections)
        .build(manager)
        .await?;
    match command {
        Command::Enqueue {
            count,
            per_second: None,
        } => {
            stream::iter(0..count)
                .map(|number| enqueue(&redis, number))
                .buffer_unordered(64)
                .try_collect::<()>()
                .await
        }
        Command::Enqueue {
            count,
            per_second: Some(rate),
        } => {
            let pace = Pace::new(rate);
            for number in 0..count {
                pace.until(number).await;
                enqueue(&redis, number).await?;
            }
            Ok(())
        }
        Command::Work { concurrency } => {
            let config = ProcessorConfig::default().num_workers(concurrency);
            let mut processor = Processor::new(redis, vec![QUEUE.to_owned()]).with_config(config);
            processor.register(Bench);
            let stop = processor.get_cancellation_token();
            tokio::spawn(async move {
                if peer_job::terminated().await.is_ok() {
                    stop.cancel();
                }
            });
            processor.run().await;
            Ok(())
        }
    }
}

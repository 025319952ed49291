//! Enqueues a batch of twenty tasks, at most five in flight, and waits for it to end.
//!
//! `cargo run -p longshore-client --example batch -- redis://127.0.0.1:6379`
#![expect(clippy::print_stdout, reason = "an example for the terminal")]

use std::time::Duration;

use longshore_client::{
    BatchPlan, BatchWriter, ChainId, Client, ClientError, Job, MessageLimits, QueueName,
};

const LOCAL_REDIS: &str = "redis://127.0.0.1:6379";

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    let url = std::env::args().nth(1);
    let client = Client::connect(url.as_deref().unwrap_or(LOCAL_REDIS), "longshore").await?;

    let mut tasks = BatchWriter::new()?;
    for number in 1..=20 {
        let job = Job::prompt(format!("Is {number} a prime number?"));
        tasks.push(&job, &MessageLimits::default())?;
    }
    let plan = BatchPlan {
        id: ChainId::fresh(),
        name: "primes".to_owned(),
        queue: QueueName::default(),
        parallel: 5,
        fail_fast: false,
    };
    client.enqueue_batch(&plan, &tasks.finish()?).await?;
    let Some(report) = client.wait_batch(&plan.id, Duration::from_mins(2)).await? else {
        println!("{} has not ended within two minutes", plan.id);
        return Ok(());
    };
    println!(
        "{}: {} of {} succeeded",
        plan.id, report.completed, report.lines
    );
    let first: Vec<u32> = (0..3).collect();
    for task in client.batch_tasks(&plan.id, &first).await? {
        println!(
            "{}: {:?}",
            task.job,
            task.outcome.and_then(|outcome| outcome.output)
        );
    }
    Ok(())
}

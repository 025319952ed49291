//! Enqueues a job and waits for its answer.
//!
//! `cargo run -p longshore-client --example wait -- redis://127.0.0.1:6379`
#![expect(clippy::print_stdout, reason = "an example for the terminal")]

use std::time::Duration;

use longshore_client::{Client, ClientError, Job};

const LOCAL_REDIS: &str = "redis://127.0.0.1:6379";

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    let url = std::env::args().nth(1);
    let client = Client::connect(url.as_deref().unwrap_or(LOCAL_REDIS), "longshore").await?;

    // `reply` makes the worker push the outcome to the waiting client.
    let job = Job::prompt("Name three primary colours.").reply(true);
    let receipt = client.enqueue(&job).await?;
    match client.wait(&receipt.id, Duration::from_mins(1)).await? {
        Some(outcome) => println!(
            "{}: {} for ${}\n{}",
            outcome.id,
            outcome.state,
            outcome.cost_usd,
            outcome.output.or(outcome.error).unwrap_or_default()
        ),
        None => println!("{} has not ended within a minute", receipt.id),
    }
    Ok(())
}

//! Enqueues one job, then three more in one transaction, and does not wait.
//!
//! `cargo run -p longshore-client --example enqueue -- redis://127.0.0.1:6379`
#![expect(clippy::print_stdout, reason = "an example for the terminal")]

use longshore_client::{Client, ClientError, Job};

const LOCAL_REDIS: &str = "redis://127.0.0.1:6379";

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    let url = std::env::args().nth(1);
    let client = Client::connect(url.as_deref().unwrap_or(LOCAL_REDIS), "longshore").await?;

    let job = Job::prompt("Name three primary colours.").task_type("research");
    let receipt = client.enqueue(&job).await?;
    println!("{} is in entry {}", receipt.id, receipt.entry_id);

    // With ids of their own, the same jobs can be enqueued again: each runs once.
    let jobs = ["Berlin", "Lima", "Oslo"].map(|city| {
        Job::prompt(format!("Describe {city} in a sentence.")).id(format!("city-{city}"))
    });
    for receipt in client.enqueue_all(&jobs).await? {
        println!("{}", receipt.id);
    }
    Ok(())
}

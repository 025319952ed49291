//! Enqueues a chain of two steps, waits for it to end and prints the answer of the last step.
//!
//! `cargo run -p longshore-client --example chain -- redis://127.0.0.1:6379`
#![expect(clippy::print_stdout, reason = "an example for the terminal")]

use std::{error::Error, time::Duration};

use longshore_client::{
    ChainBuilder, ChainEnd, Client, Job, MessageLimits, Step, StepName, StepOutput,
};

const LOCAL_REDIS: &str = "redis://127.0.0.1:6379";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let client = Client::connect(url.as_deref().unwrap_or(LOCAL_REDIS), "longshore").await?;

    let chain = ChainBuilder::new()
        .name("colours")
        .step(Step::new(
            "research",
            Job::prompt("Name three primary colours."),
        ))
        .step(
            Step::new(
                "poem",
                Job::prompt("Write a verse about {{ steps.research.output }}."),
            )
            .needs(["research"]),
        )
        .build(&MessageLimits::default())?;
    let receipt = client.enqueue_chain(&chain).await?;
    match client.wait_chain(&receipt, Duration::from_mins(2)).await? {
        ChainEnd::Ended(view) => {
            println!("{}: {}", receipt.id, view.head.record.state);
            let poem = StepName::parse("poem")?;
            if let StepOutput::One(Some(text)) =
                client.step_output(&receipt.id, &poem, None).await?
            {
                println!("{text}");
            }
        }
        end => println!("{}: {end:?}", receipt.id),
    }
    Ok(())
}

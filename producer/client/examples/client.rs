//! The program of `docs/CLIENTS.md`: the end-to-end tests compare it with the page and run it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "an example for the terminal, with its address in the environment"
)]

// Enqueues a job and a chain and waits for both: client ID PROMPT.

use std::{env, error::Error, process::ExitCode, time::Duration};

use longshore_client::{ChainBuilder, ChainEnd, Client, Job, MessageLimits, Step};

const WAIT: Duration = Duration::from_mins(1);

type Failure = Box<dyn Error>;

fn not_ended(kind: &str, id: &str) -> Failure {
    format!("{kind} {id} has not ended within {WAIT:?}; ask again with the same id").into()
}

async fn run_job(client: &Client, id: &str, prompt: &str) -> Result<(), Failure> {
    let job = Job::prompt(prompt).id(id).reply(true);
    let receipt = client.enqueue(&job).await?;
    // `wait_for` tells the outcome of this message from that of another job with this id.
    let outcome = client.wait_for(&receipt, WAIT).await?;
    let job = outcome.ok_or_else(|| not_ended("job", id))?;
    let Some(output) = job.output else {
        let class = job.error_class.unwrap_or_default();
        let error = job.error.unwrap_or_default();
        return Err(format!("job {}: {}, {class}: {error}", job.id, job.state).into());
    };
    println!("job {} cost {} USD: {output}", job.id, job.cost_usd);
    Ok(())
}

async fn run_chain(client: &Client, id: &str, prompt: &str) -> Result<(), Failure> {
    let verse = Job::prompt("Write a verse about this: {{ steps.list.output }}");
    let chain = ChainBuilder::new()
        .id(id)
        .step(Step::new("list", Job::prompt(prompt)))
        .step(Step::new("verse", verse).needs(["list"]))
        .build(&MessageLimits::default())?;
    let receipt = client.enqueue_chain(&chain).await?;
    match client.wait_chain(&receipt, WAIT).await? {
        ChainEnd::Ended(_) => {}
        ChainEnd::Refused(reason) => return Err(format!("chain {id}: {reason}").into()),
        ChainEnd::Unknown | ChainEnd::TimedOut => return Err(not_ended("chain", id)),
    }
    let outcome = client.chain_outcome(&receipt.id).await?;
    let chain = outcome.ok_or_else(|| not_ended("chain", id))?;
    let Some(output) = chain.output else {
        let class = chain.error_class.unwrap_or_default();
        let error = chain.error.unwrap_or_default();
        return Err(format!("chain {id}: {}, {class}: {error}", chain.state).into());
    };
    println!("chain {id} cost {} USD: {output}", chain.cost_usd);
    Ok(())
}

async fn run_both() -> Result<(), Failure> {
    let mut arguments = env::args().skip(1);
    let (Some(id), Some(prompt)) = (arguments.next(), arguments.next()) else {
        return Err("usage: client ID PROMPT".into());
    };
    let client = Client::connect(&env::var("REDIS_URL")?, "longshore").await?;
    run_job(&client, &id, &prompt).await?;
    run_chain(&client, &format!("{id}-chain"), &prompt).await
}

#[tokio::main]
async fn main() -> ExitCode {
    match run_both().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

//! `longshore-worker`: pulls jobs, calls providers, settles.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use longshore_service::startup::{self, Service};
use longshore_worker::{Policies, Worker};

/// A job is many small allocations on one thread that another frees: what the system's allocator is
/// slow at.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The recorder uses one; the others are for what is rare.
const LEDGER_CONNECTIONS: u32 = 4;

/// Pulls jobs from Redis, has them answered by providers, and settles each in one step.
///
/// Everything is configured by `longshore.yaml` and the environment; see the documentation.
#[derive(Debug, Parser)]
#[command(name = "longshore-worker", version)]
struct Arguments {
    /// Serve /live, /ready, /health and /metrics at this address (overrides `listen`).
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<std::net::SocketAddr>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let ran = runtime
        .context("the runtime cannot start")
        .and_then(|runtime| runtime.block_on(run(arguments)));
    startup::exit_code("longshore-worker", ran)
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let started = Service::start("worker", arguments.listen, LEDGER_CONNECTIONS).await?;
    let Some(service) = started else {
        return Ok(());
    };
    raise_file_limit();
    let catalog = &service.config.catalog;
    if catalog.enabled().next().is_none() {
        tracing::warn!(
            "no provider is on, so every job will fail: set OPENAI_API_KEY, ANTHROPIC_API_KEY or \
             GOOGLE_API_KEY, or add one under `providers:` in longshore.yaml"
        );
    }
    let worker = Worker::new(
        Policies::follow(service.live.clone())?,
        service.broker.clone(),
        Some(service.ledger.clone()),
        service.health.clone(),
    )
    .await?;
    let (ran, ()) = tokio::join!(worker.run(service.stop.clone()), service.migrate_ledger());
    service.close().await;
    Ok(ran?)
}

/// Thousands of calls in flight need thousands of sockets.
fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
}

//! `longshore-worker`: runs jobs.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use longshore_service::{
    startup::{self, Service},
    traces::Traces,
    version::VERSION,
};
use longshore_worker::{Policies, Worker};

/// A job makes many small allocations on one thread that another frees, for which the system allocator is
/// slow. Its background threads return memory to the system when no job runs.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The recorder uses one; rare operations share the others.
const LEDGER_CONNECTIONS: u32 = 4;

/// Pull jobs from Redis, call providers, and settle each job in one atomic step.
///
/// Configure it with `longshore.yaml` and environment variables; see docs/CONFIGURATION.md.
#[derive(Debug, Parser)]
#[command(name = "longshore-worker", version = VERSION.as_str())]
struct Arguments {
    /// Serve /live, /ready, /health and /metrics at this address (overrides `listen`).
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<std::net::SocketAddr>,
}

fn main() -> ExitCode {
    if let Some(code) = longshore_worker::command::run_internal_command() {
        return code;
    }
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let ran = runtime
        .context("the async runtime does not start")
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
            "no provider is enabled, so every job fails: set OPENAI_API_KEY, ANTHROPIC_API_KEY or \
             GOOGLE_API_KEY, or add one under `providers:` in longshore.yaml"
        );
    }
    let traces = Traces::start("worker", &service.environment);
    let worker = Worker::new(
        Policies::follow(service.live.clone())?,
        service.broker.clone(),
        Some(service.ledger.clone()),
        service.health.clone(),
        traces.clone(),
    )
    .await?;
    let run = worker.run(service.stop.clone(), service.stop_now.clone());
    let (ran, ()) = tokio::join!(run, service.migrate_ledger());
    traces.close().await;
    service.close().await;
    Ok(ran?)
}

/// Thousands of calls in flight need thousands of sockets.
fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!("open file limit not raised: {error}; calls fail when it is reached");
    }
}

//! `longshore-scheduler`: wakes what is due, recovers what died, keeps the dead letters.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use longshore_scheduler::Scheduler;
use longshore_service::service::{self, Service};

/// Archiving uses one; the other is for migrations.
const LEDGER_CONNECTIONS: u32 = 2;

/// Wakes jobs when they are due, gives back what dead workers left, and keeps the dead letters.
///
/// Any number may run; one leads at a time. Everything is configured by `longshore.yaml` and the
/// environment; see the documentation.
#[derive(Debug, Parser)]
#[command(name = "longshore-scheduler", version)]
struct Arguments {
    /// Serve /live, /ready, /health and /metrics at this address (overrides `listen`).
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<std::net::SocketAddr>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let ran = runtime
        .context("the runtime cannot start")
        .and_then(|runtime| runtime.block_on(run(arguments)));
    service::exit_code("longshore-scheduler", ran)
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let started = Service::start("scheduler", arguments.listen, LEDGER_CONNECTIONS).await?;
    let Some(service) = started else {
        return Ok(());
    };
    let scheduler = Scheduler::new(
        service.live.clone(),
        service.broker.clone(),
        service.ledger.clone(),
        service.health.clone(),
    );
    tokio::join!(
        scheduler.run(service.stop.clone()),
        service.prepare_record()
    );
    service.close().await;
    Ok(())
}

//! `longshore-scheduler`: promotes due jobs, recovers dead workers, maintains dead letters.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use longshore_scheduler::Scheduler;
use longshore_service::{
    startup::{self, Service},
    version::VERSION,
};

/// One for archiving, one for new limits, one for migrations.
const LEDGER_CONNECTIONS: u32 = 3;

/// Promotes due jobs, recovers jobs of dead workers, and manages recurring jobs, alerts and dead letters.
///
/// Any number of schedulers may run; one of them leads. Configure it with `longshore.yaml` and environment
/// variables; see docs/CONFIGURATION.md.
#[derive(Debug, Parser)]
#[command(name = "longshore-scheduler", version = VERSION.as_str())]
struct Arguments {
    /// Serve /live, /ready, /health and /metrics at this address (overrides `listen`).
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let result = runtime
        .context("the async runtime does not start")
        .and_then(|runtime| runtime.block_on(run(arguments)));
    startup::exit_code("longshore-scheduler", result)
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
        service.migrate_ledger()
    );
    service.close().await;
    Ok(())
}

//! `longshore-scheduler`: wakes what is due, recovers what died, keeps the dead letters.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Parser;
use longshore_scheduler::Scheduler;
use longshore_shared::{
    config::{Config, Environment},
    health::{self, HealthState},
    ledger::Ledger,
    service, telemetry,
};

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
    let env = Environment::read()?;
    let mut config = Config::load(&env)?;
    let metrics = telemetry::init("scheduler", &telemetry::LogSettings::read(&env)?)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    config.listen = arguments.listen.or(config.listen);
    let config = Arc::new(config);
    let stop = service::stop_signal()?;
    let health = HealthState::new("scheduler");
    if let Some(listen) = config.listen {
        let (address, _server) = health::serve(listen, health.clone(), metrics)
            .await
            .with_context(|| format!("cannot listen at {listen}"))?;
        tracing::info!(%address, "health and metrics");
    }
    let Some(broker) = service::broker(&config, &stop).await? else {
        return Ok(());
    };
    let ledger = Ledger::connect(&config.database_url, 2)?;
    tracing::info!(
        redis = broker.address(),
        postgres = ledger.at(),
        "scheduling"
    );
    let scheduler = Scheduler::new(config.clone(), broker, ledger.clone(), health);
    tokio::join!(
        scheduler.run(stop.clone()),
        service::prepare_record(&config, &ledger, &stop)
    );
    Ok(())
}

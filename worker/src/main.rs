//! `longshore-worker`: pulls jobs, calls providers, settles.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use longshore_shared::{
    config::{Config, Environment},
    health::{self, HealthState},
    ledger::Ledger,
    service, telemetry,
};
use longshore_worker::{Registry, Worker};

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
    service::exit_code("longshore-worker", ran)
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let env = Environment::read()?;
    let mut config = Config::load(&env)?;
    let metrics = telemetry::init("worker", &telemetry::LogSettings::read(&env)?)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    config.listen = arguments.listen.or(config.listen);
    let config = Arc::new(config);
    raise_file_limit();
    let stop = service::stop_signal()?;

    let health = HealthState::new("worker");
    if let Some(listen) = config.listen {
        let (address, _server) = health::serve(listen, health.clone(), metrics)
            .await
            .with_context(|| format!("cannot listen at {listen}"))?;
        tracing::info!(%address, "health and metrics");
    }
    let Some(broker) = service::broker(&config, &stop).await? else {
        return Ok(());
    };
    let ledger = Ledger::connect(&config.database_url, 4)?;
    tracing::info!(postgres = ledger.at(), "recording");
    let providers = Registry::over_http(&config.catalog)?;
    let worker = Worker::new(
        config.clone(),
        broker,
        Some(ledger.clone()),
        providers,
        health,
    )
    .await;
    let (ran, ()) = tokio::join!(
        worker.run(stop.clone()),
        service::prepare_record(&config, &ledger, &stop)
    );
    // A connection that hangs must not hold up the end.
    let _closed = tokio::time::timeout(Duration::from_secs(2), ledger.close()).await;
    Ok(ran?)
}

/// Thousands of calls in flight need thousands of sockets.
fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
}

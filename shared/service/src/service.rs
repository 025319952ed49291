//! What every service does: starts patiently, stops when told.

use std::{fmt, future::Future, io, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use longshore_broker::{Broker, BrokerError};
use longshore_config::Config;
use longshore_ledger::{Ledger, LedgerError};
use longshore_settings::{ConfigError, Environment};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    health::{self, HealthState},
    live_config::LiveConfig,
    telemetry::{self, LogSettings, TelemetryError},
};

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Bad arguments or configuration.
const EXIT_CONFIGURATION: u8 = 2;

/// Why a service does not start. What may pass is waited for instead.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The settings of logs and metrics.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// Signals cannot be heard.
    #[error("signals cannot be heard: {0}")]
    Signals(io::Error),
    /// The address of health and metrics is taken, or not ours.
    #[error("cannot listen at {0}: {1}; choose another with --listen or LONGSHORE_LISTEN")]
    Listen(SocketAddr, io::Error),
    /// The address of Redis.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The address of Postgres.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What a service stands on.
pub struct Service {
    /// The configuration as it was at the start, with what was pushed by then.
    pub config: Arc<Config>,
    /// The configuration as it is.
    pub live: LiveConfig,
    /// Redis, reachable when the service started.
    pub broker: Broker,
    /// Postgres, which may be away.
    pub ledger: Ledger,
    /// What the health endpoint tells.
    pub health: HealthState,
    /// Set when the service is told to stop.
    pub stop: CancellationToken,
}

impl Service {
    /// Reads the configuration, starts logs, metrics and the health endpoint (at `listen`, else where
    /// the configuration says), and connects; `None` when told to stop before Redis could be reached.
    pub async fn start(
        name: &'static str,
        listen: Option<SocketAddr>,
        ledger_connections: u32,
    ) -> Result<Option<Self>, StartError> {
        let env = Environment::read()?;
        let config = Config::load(&env)?;
        let metrics = telemetry::init(name, &LogSettings::read(&env)?)?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let stop = stop_signal().map_err(StartError::Signals)?;
        let health = HealthState::new(name);
        if let Some(listen) = listen.or(config.listen) {
            let (address, _server) = health::serve(listen, health.clone(), metrics)
                .await
                .map_err(|error| StartError::Listen(listen, error))?;
            tracing::info!(%address, "health and metrics");
        }
        let ledger = Ledger::connect(&config.database_url, ledger_connections)?;
        let Some(broker) = broker(&config, &stop).await? else {
            return Ok(None);
        };
        let live = LiveConfig::follow(env, config, broker.clone(), health.clone(), stop.clone())
            .await
            .map_err(StartError::Signals)?;
        tracing::info!(
            redis = broker.address(),
            postgres = ledger.at(),
            "{name} started"
        );
        Ok(Some(Self {
            config: live.current(),
            live,
            broker,
            ledger,
            health,
            stop,
        }))
    }

    /// Brings the record's tables up to date, unless the config says not to, however long Postgres takes
    /// to be there. Until then, facts wait in Redis.
    pub async fn prepare_record(&self) {
        if !self.config.migrate {
            return;
        }
        let mut wait = FIRST_WAIT;
        loop {
            match self.ledger.migrate().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(
                        "the record's tables are not up to date: {error}; again in {wait:?}"
                    );
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Closes what is open; a connection that hangs does not hold up the end.
    pub async fn close(&self) {
        let _closed = tokio::time::timeout(Duration::from_secs(2), self.ledger.close()).await;
    }
}

/// Set by SIGTERM or SIGINT.
fn stop_signal() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopped.cancel();
    });
    Ok(stop)
}

/// Connects to Redis and loads the scripts, however long it takes; `None` when told to stop first.
async fn broker(config: &Config, stop: &CancellationToken) -> Result<Option<Broker>, BrokerError> {
    connect(stop, || async {
        let broker = Broker::connect(&config.redis_url, &config.namespace).await?;
        broker.load_scripts().await?;
        Ok(broker.with_retention(config.retention.clone()))
    })
    .await
}

/// Connects however long it takes; `None` when told to stop first. What can never succeed is an error.
async fn connect<T, F>(
    stop: &CancellationToken,
    mut connect: impl FnMut() -> F,
) -> Result<Option<T>, BrokerError>
where
    F: Future<Output = Result<T, BrokerError>>,
{
    let mut wait = FIRST_WAIT;
    loop {
        match connect().await {
            Ok(connected) => return Ok(Some(connected)),
            Err(error @ BrokerError::Url(_)) => return Err(error),
            Err(error) => tracing::warn!("{error}; again in {wait:?}"),
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return Ok(None),
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// A service's exit code; an error is told on stderr, with what caused it.
pub fn exit_code(service: &str, ran: Result<(), impl fmt::Display>) -> ExitCode {
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            // Where stderr is closed there is nobody to tell.
            let _told = writeln!(std::io::stderr(), "{service}: {error:#}");
            ExitCode::from(EXIT_CONFIGURATION)
        }
    }
}

//! Start-up and shutdown, the same for every service.

use std::{
    fmt,
    io::{self, Write as _},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use longshore_broker::{Broker, BrokerError, task};
use longshore_config::Config;
use longshore_ledger::{Ledger, LedgerError};
use longshore_settings::{ConfigError, Environment};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::{Schedule, retry_until_stopped},
    health::{self, HealthState},
    live_config::LiveConfig,
    telemetry::{self, LogSettings, TelemetryError},
};

/// The exit code for invalid arguments or configuration.
const EXIT_CONFIGURATION: u8 = 2;

/// A Postgres connection that hangs does not delay the exit for longer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a service runs on: configuration, connections, health.
pub struct Service {
    /// The configuration at the start, including what was pushed by then.
    pub config: Arc<Config>,
    /// The configuration as it changes.
    pub live: LiveConfig,
    /// The environment at the start.
    pub environment: Environment,
    /// Redis. It was reachable when the service started.
    pub broker: Broker,
    /// Postgres. It may be unreachable.
    pub ledger: Ledger,
    /// The state that the health endpoint shows.
    pub health: HealthState,
    /// Set by SIGTERM or SIGINT.
    pub stop: CancellationToken,
    /// Set by the second of them: whoever sent it does not want to wait.
    pub stop_now: CancellationToken,
}

/// A permanent failure to start. Temporary failures are retried.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The settings of logs or metrics are invalid.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The signal handlers cannot be installed.
    #[error("cannot install signal handlers: {0}")]
    Signals(io::Error),
    /// The address of the health endpoint is in use or not local.
    #[error("cannot listen at {0}: {1}; choose another address with --listen or LONGSHORE_LISTEN")]
    Listen(SocketAddr, io::Error),
    /// The Redis URL is invalid, or a file that it needs cannot be read.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The Postgres URL is invalid, or a file that it needs cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Service {
    /// Reads the configuration, starts logs, metrics and the health endpoint, and connects.
    ///
    /// `listen` overrides the address of the health endpoint. Returns `None` if the process is stopped
    /// before Redis is reachable.
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
        let (stop, stop_now) = stop_on_signals().map_err(StartError::Signals)?;
        let health = HealthState::new(name);
        if let Some(listen) = listen.or(config.listen) {
            let (address, _server) = health::serve(listen, health.clone(), metrics)
                .await
                .map_err(|error| StartError::Listen(listen, error))?;
            tracing::info!(%address, "health endpoint started");
        }
        let ledger = Ledger::open(
            &config.database_url,
            config.database_password_file.as_deref(),
            ledger_connections,
        )?
        .with_keyring(config.keyring.clone());
        let Some(broker) = connect_broker(&config, &stop).await? else {
            return Ok(None);
        };
        let (live_env, live_health) = (env.clone(), health.clone());
        let live = LiveConfig::follow(live_env, config, broker.clone(), live_health, stop.clone())
            .await
            .map_err(StartError::Signals)?;
        tracing::info!(
            redis = broker.address(),
            postgres = ledger.address(),
            "{name} started"
        );
        Ok(Some(Self {
            config: live.current(),
            live,
            environment: env,
            broker,
            ledger,
            health,
            stop,
            stop_now,
        }))
    }

    /// Applies pending migrations, unless the configuration forbids it. Retries until Postgres is
    /// reachable; events wait in Redis meanwhile.
    pub async fn migrate_ledger(&self) {
        if self.config.migrate {
            let migrate = || self.ledger.migrate();
            retry_until_stopped("ledger migration", Schedule::CONNECT, &self.stop, migrate).await;
        }
    }

    /// Closes the connections to Postgres.
    pub async fn close(&self) {
        let _closed = tokio::time::timeout(CLOSE_TIMEOUT, self.ledger.close()).await;
    }
}

/// The exit code of a service. Writes an error and its causes to stderr.
pub fn exit_code(service: &str, result: Result<(), impl fmt::Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr is closed, the exit code must do.
            let _written = writeln!(io::stderr(), "{service}: {error:#}");
            ExitCode::from(EXIT_CONFIGURATION)
        }
    }
}

/// Tokens that the first and the second signal to stop set.
fn stop_on_signals() -> io::Result<(CancellationToken, CancellationToken)> {
    let tokens = (CancellationToken::new(), CancellationToken::new());
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop, stop_now) = tokens.clone();
    task::spawn("stop signal", async move {
        for token in [stop, stop_now] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            token.cancel();
        }
    });
    Ok(tokens)
}

/// Connects to Redis and loads the scripts. Only an invalid URL and an unreadable file are errors.
async fn connect_broker(
    config: &Config,
    stop: &CancellationToken,
) -> Result<Option<Broker>, BrokerError> {
    let connect = || async {
        let broker = match Broker::open(&config.redis(), &config.namespace).await {
            Err(error @ (BrokerError::Url(_) | BrokerError::File(_))) => return Ok(Err(error)),
            connected => connected?,
        };
        broker.load_scripts().await?;
        let broker = broker
            .with_retention(config.retention.clone())
            .with_keyring(config.keyring.clone());
        Ok::<_, BrokerError>(Ok(broker))
    };
    retry_until_stopped("Redis connection", Schedule::CONNECT, stop, connect)
        .await
        .transpose()
}

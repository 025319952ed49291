//! What every service does: starts patiently, stops when told.

use std::{future::Future, process::ExitCode, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{Broker, BrokerError},
    config::Config,
    ledger::Ledger,
};

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Bad arguments or configuration.
const EXIT_CONFIGURATION: u8 = 2;

/// Set by SIGTERM or SIGINT.
pub fn stop_signal() -> std::io::Result<CancellationToken> {
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
pub async fn broker(
    config: &Config,
    stop: &CancellationToken,
) -> Result<Option<Broker>, BrokerError> {
    connect(stop, || async {
        let broker = Broker::connect(&config.redis_url, &config.namespace).await?;
        broker.load_scripts().await?;
        Ok(broker.keeping(config.retention.clone()))
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

/// Brings the record's tables up to date, unless the config says not to, however long Postgres takes to
/// be there. Until then, facts wait in Redis.
pub async fn prepare_record(config: &Config, ledger: &Ledger, stop: &CancellationToken) {
    if !config.migrate {
        return;
    }
    let mut wait = FIRST_WAIT;
    loop {
        match ledger.migrate().await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(
                    "the record's tables are not up to date: {error}; again in {wait:?}"
                );
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// A service's exit code; an error is told on stderr, with what caused it.
pub fn exit_code(service: &str, ran: Result<(), impl std::fmt::Display>) -> ExitCode {
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

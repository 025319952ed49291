//! Shared by commands: the configuration, Redis, Postgres.

use longshore_broker::{Broker, BrokerError, PushedConfig, QueueDepth};
use longshore_client::{Client, JobId};
use longshore_config::Config;
use longshore_ledger::{JobHistory, Ledger, LedgerError};
use longshore_settings::Environment;

use crate::{environment, error::CommandError, output};

/// Connections to Postgres.
const LEDGER_CONNECTIONS: u32 = 2;

/// The configuration, and connections to the servers that it names.
pub(crate) struct Session {
    pub(crate) environment: Environment,
    pub(crate) config: Config,
}

impl Session {
    /// Reads the configuration and prints its warnings.
    pub(crate) fn open() -> Result<Self, CommandError> {
        let session = Self::open_silently()?;
        output::warnings(&session.config.warnings);
        Ok(session)
    }

    /// Reads the configuration, and leaves its warnings to the caller.
    pub(crate) fn open_silently() -> Result<Self, CommandError> {
        let environment = environment::read()?;
        let config = Config::load(&environment)?;
        Ok(Self {
            environment,
            config,
        })
    }

    pub(crate) async fn broker(&self) -> Result<Broker, CommandError> {
        let broker = Broker::open(&self.config.redis(), &self.config.namespace).await?;
        Ok(broker
            .with_retention(self.config.retention.clone())
            .with_keyring(self.config.keyring.clone()))
    }

    pub(crate) async fn client(&self) -> Result<Client, CommandError> {
        Ok(self.client_over(self.broker().await?))
    }

    /// A client that shares an open connection.
    pub(crate) fn client_over(&self, broker: Broker) -> Client {
        Client::new(broker).limits(self.config.limits)
    }

    /// The configuration of the running services: a pushed one replaces the local file.
    pub(crate) async fn fleet_config(&self, broker: &Broker) -> Result<Config, CommandError> {
        let (_, pushed) = broker.fleet_config().get().await?;
        Ok(with_pushed(
            &self.config,
            &self.environment,
            pushed.as_ref(),
        ))
    }

    /// The configuration of the running services; the local one where the Redis user may not read it.
    pub(crate) async fn fleet_config_or_own(
        &self,
        broker: &Broker,
    ) -> Result<Config, CommandError> {
        match self.fleet_config(broker).await {
            Err(CommandError::Broker(error @ BrokerError::Command { .. })) => {
                output::warning(format_args!(
                    "the pushed configuration was not read: {error}"
                ));
                Ok(self.config.clone())
            }
            config => config,
        }
    }

    /// Postgres; fails if it does not answer.
    pub(crate) async fn ledger(&self) -> Result<Ledger, CommandError> {
        let ledger = Ledger::open(
            &self.config.database_url,
            self.config.database_password_file.as_deref(),
            LEDGER_CONNECTIONS,
        )?
        .with_keyring(self.config.keyring.clone());
        ledger.ping().await?;
        Ok(ledger)
    }

    /// The history of a job in the ledger.
    pub(crate) async fn recorded_job(
        &self,
        id: &JobId,
    ) -> Result<Option<JobHistory>, CommandError> {
        Ok(self.ledger().await?.job(id).await?)
    }
}

/// `own` with the pushed configuration applied. The services ignore an invalid one.
pub(crate) fn with_pushed(
    own: &Config,
    env: &Environment,
    pushed: Option<&PushedConfig>,
) -> Config {
    let Some(pushed) = pushed else {
        return own.clone();
    };
    own.with_pushed(env, pushed.version, &pushed.text)
        .unwrap_or_else(|error| {
            output::warning(format_args!(
                "the pushed configuration is invalid and ignored: {error}"
            ));
            own.clone()
        })
}

/// The depths of all queues.
pub(crate) async fn queue_depths(broker: &Broker) -> Result<Vec<QueueDepth>, BrokerError> {
    let mut depths = Vec::new();
    for queue in broker.queues().list().await? {
        depths.push(broker.queues().depth(&queue).await?);
    }
    Ok(depths)
}

/// An error of Postgres, with the remedy if its tables are not up to date.
pub(crate) async fn explain_ledger_error(ledger: &Ledger, error: LedgerError) -> CommandError {
    match ledger.pending_migrations().await {
        Ok(pending) if !pending.is_empty() => CommandError::Input(format!(
            "the tables at {} are not up to date; run `longshore migrate`",
            ledger.address()
        )),
        _ => error.into(),
    }
}

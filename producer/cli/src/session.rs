//! What every command stands on: the configuration, Redis, Postgres.

use longshore_shared::{
    broker::{Broker, Pushed},
    config::{Config, Environment},
    ledger::Ledger,
};

use crate::{error::CommandError, output};

/// Connections that a command's ledger may hold.
const LEDGER_CONNECTIONS: u32 = 2;

/// The configuration, and doors to what it names.
pub(crate) struct Session {
    pub(crate) config: Config,
}

impl Session {
    /// Reads the configuration and tells what looks wrong with it.
    pub(crate) fn open() -> Result<Self, CommandError> {
        let config = Config::load(&Environment::read()?)?;
        for warning in &config.warnings {
            output::note(format_args!("Warning: {warning}"));
        }
        Ok(Self { config })
    }

    /// Redis.
    pub(crate) async fn broker(&self) -> Result<Broker, CommandError> {
        let broker = Broker::connect(&self.config.redis_url, &self.config.namespace).await?;
        Ok(broker.keeping(self.config.retention.clone()))
    }

    /// What the services of the namespace run by: what is pushed for the fleet stands in the place of the
    /// file here.
    pub(crate) async fn fleet_config(&self, broker: &Broker) -> Result<Config, CommandError> {
        let (_, pushed) = broker.pushed_config().await?;
        Ok(as_pushed(
            &self.config,
            &Environment::read()?,
            pushed.as_ref(),
        ))
    }

    /// Postgres, reachable.
    pub(crate) async fn ledger(&self) -> Result<Ledger, CommandError> {
        let ledger = Ledger::connect(&self.config.database_url, LEDGER_CONNECTIONS)?;
        ledger.ping().await?;
        Ok(ledger)
    }
}

/// `own` as it is once the services took what is pushed; what is wrong, they have refused.
pub(crate) fn as_pushed(own: &Config, env: &Environment, pushed: Option<&Pushed>) -> Config {
    let Some(pushed) = pushed else {
        return own.clone();
    };
    own.with_pushed(env, pushed).unwrap_or_else(|error| {
        output::note(format_args!("Warning: what is pushed is refused: {error}"));
        own.clone()
    })
}

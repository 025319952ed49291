//! `longshore config`: shows settings, validates and compares files, and pushes a file to the fleet.

mod changes;
mod diff;
mod push;
mod show;
mod validate;

use clap::Subcommand;
use longshore_broker::{Broker, PushedConfig};
use longshore_config::Config;
use longshore_settings::Environment;

use crate::{
    error::{CommandError, Exit},
    session::{Session, with_pushed},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show every setting and its value
    Show(show::Arguments),
    /// Validate a file; needs neither Redis nor Postgres
    Validate(validate::Arguments),
    /// Show what a file would change; exit code 1 if anything differs
    Diff(diff::Arguments),
    /// Push a file to every running service, without a restart
    Push(push::Arguments),
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, CommandError> {
    match arguments.action {
        Action::Show(arguments) => show::run(arguments).await,
        Action::Validate(arguments) => validate::run(&arguments),
        Action::Diff(arguments) => diff::run(&arguments, Session::open_silently()?).await,
        Action::Push(arguments) => push::run(arguments, Session::open_silently()?).await,
    }
}

/// The configuration of the running services.
struct Fleet {
    env: Environment,
    /// The local configuration: file, environment, defaults.
    own: Config,
    broker: Broker,
    pushed: Option<PushedConfig>,
}

impl Fleet {
    async fn read(session: Session) -> Result<Self, CommandError> {
        let broker = session.broker().await?;
        let (_, pushed) = broker.fleet_config().get().await?;
        Ok(Self {
            env: session.environment,
            own: session.config,
            broker,
            pushed,
        })
    }

    /// The configuration that the services use. They ignore an invalid pushed file.
    fn current(&self) -> Config {
        with_pushed(&self.own, &self.env, self.pushed.as_ref())
    }

    /// The source of the current configuration.
    fn source(&self) -> String {
        match &self.pushed {
            Some(pushed) => format!("pushed config {}", pushed.version),
            None => own_source(&self.own),
        }
    }
}

/// The source of the local configuration.
fn own_source(config: &Config) -> String {
    match &config.source {
        Some(path) => path.display().to_string(),
        None => "the defaults and the environment".to_owned(),
    }
}

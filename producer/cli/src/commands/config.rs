//! `longshore config`: what the settings are, whether a file is right, what it would change, and giving
//! it to the whole fleet.

mod changes;
mod diff;
mod push;
mod show;
mod validate;

use std::path::Path;

use clap::Subcommand;
use longshore_shared::{
    broker::{Broker, Pushed},
    config::{Config, Environment},
};

use crate::{
    error::{CommandError, Done},
    session::{Session, as_pushed},
};

/// What to do with the configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show every setting as it is
    Show(show::Arguments),
    /// Check a file; needs neither Redis nor Postgres
    Validate(validate::Arguments),
    /// Show what a file would change; exit code 1 if it would change anything
    Diff(diff::Arguments),
    /// Give a file to every running service, without a restart
    Push(push::Arguments),
}

/// Does it.
pub(crate) async fn run(arguments: Arguments) -> Result<Done, CommandError> {
    match arguments.action {
        Action::Show(arguments) => show::run(arguments).await,
        Action::Validate(arguments) => validate::run(&arguments),
        Action::Diff(arguments) => diff::run(&arguments, &Fleet::look().await?),
        Action::Push(arguments) => push::run(arguments, &Fleet::look().await?).await,
    }
}

/// What the services of this namespace run by.
struct Fleet {
    env: Environment,
    /// What stands here: the local file, the environment, the defaults.
    own: Config,
    broker: Broker,
    pushed: Option<Pushed>,
}

impl Fleet {
    /// Reads the configuration, and what is pushed.
    async fn look() -> Result<Self, CommandError> {
        let env = Environment::read()?;
        let session = Session {
            config: Config::load(&env)?,
        };
        let broker = session.broker().await?;
        let (_, pushed) = broker.pushed_config().await?;
        Ok(Self {
            env,
            own: session.config,
            broker,
            pushed,
        })
    }

    /// What the services run by now; what was pushed and is wrong, they have refused.
    fn now(&self) -> Config {
        as_pushed(&self.own, &self.env, self.pushed.as_ref())
    }

    /// Where that comes from, for people.
    fn source(&self) -> String {
        match (&self.pushed, &self.own.source) {
            (Some(pushed), _) => format!("pushed config {}", pushed.version),
            (None, Some(path)) => path.display().to_string(),
            (None, None) => "the defaults and the environment".to_owned(),
        }
    }
}

/// The text of a file that the user named.
fn text_of(path: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path).map_err(|source| CommandError::Io {
        what: format!("{} cannot be read", path.display()),
        source,
    })
}

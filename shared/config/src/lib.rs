//! The configuration: what a process needs to know before it starts.
//!
//! Every setting comes from the first of these that has it: the environment (and `.env`), the file
//! `longshore.yaml`, the default. A setting's variable is its path in the file, in capitals, after
//! `LONGSHORE_`: `retry.base_delay` is `LONGSHORE_RETRY_BASE_DELAY`. An empty variable counts as
//! absent. With nothing set at all, the defaults below hold and every provider is on whose key is in
//! the environment.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use longshore_policy::{
    catalog::{Catalog, UnknownPrice},
    cron::Definition,
    limits::{Alerts, Budget, Circuit, Tenants},
    replay::ReplayRule,
    retention::Retention,
    retry::RetryPolicy,
    routing::Routing,
    webhook::WebhookSettings,
};
use longshore_protocol::{
    envelope::Limits,
    id::{CronName, Namespace, QueueName},
};
use longshore_settings::{ConfigError, Environment, Origin, Problem, yaml::parse};
use secrecy::SecretString;
use url::Url;

pub use secrets::without_secrets;
pub use shown::Shown;

mod assemble;
mod cron;
mod dead_letters;
mod file;
mod limits;
mod reload;
mod routing;
mod secrets;
mod shown;
mod webhooks;

/// What a process needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where Redis is. Default `redis://127.0.0.1:6379`; also `REDIS_URL`.
    pub redis_url: SecretString,
    /// Where Postgres is. Default `postgres://127.0.0.1:5432/longshore`; also `DATABASE_URL`.
    pub database_url: SecretString,
    /// The deployment's name, before all its keys. Default `longshore`.
    pub namespace: Namespace,
    /// The queues that a worker takes jobs from. Default `default` alone.
    pub queues: Vec<QueueName>,
    /// Jobs in flight in one worker, 1 to 100,000. Default 1,000.
    pub concurrency: usize,
    /// How long a stopping process lets its jobs finish. Default 30 s.
    pub grace: Duration,
    /// Where health and metrics are served. Default: nowhere.
    pub listen: Option<SocketAddr>,
    /// How failed attempts are tried again, unless a job names a policy.
    pub retry: RetryPolicy,
    /// Policies that a job may name; what one leaves out is as in `retry`.
    pub retries: BTreeMap<String, RetryPolicy>,
    /// What a message may be.
    pub limits: Limits,
    /// How a worker shows that it lives.
    pub liveness: Liveness,
    /// How long things are kept.
    pub retention: Retention,
    /// Whether a starting process brings the database up to date. Default yes.
    pub migrate: bool,
    /// A simulator that stands in for every provider. Default: none.
    pub simulator_url: Option<Url>,
    /// The programs that providers may run at all. Default `claude`, `codex` and `gemini`.
    pub cli_tools: Vec<String>,
    /// The files of models beside this one, as they are written. Default: none.
    pub model_files: Vec<String>,
    /// What to do about a model without a price. Default: it is refused.
    pub unknown_price: UnknownPrice,
    /// The providers and models.
    pub catalog: Catalog,
    /// Who answers what.
    pub routing: Routing,
    /// What may be spent, in the file's order. Default: no limits.
    pub budgets: Vec<Budget>,
    /// How tenants share what there is. Default: equally.
    pub tenants: Tenants,
    /// When and how people are told that a limit fills up.
    pub alerts: Alerts,
    /// Where webhooks may go. Default: nowhere.
    pub webhooks: WebhookSettings,
    /// When calls to a failing model are held back.
    pub circuit: Circuit,
    /// By which dead letters are replayed without a person, in the file's order. Default: none.
    pub replay_rules: Vec<ReplayRule>,
    /// The jobs that recur. Default: none.
    pub cron: BTreeMap<CronName, Definition>,
    /// What looks wrong but keeps nothing from running, for people.
    pub warnings: Vec<String>,
    /// Where each setting and entry stands that is set; the others have their defaults.
    pub origins: BTreeMap<String, Origin>,
    /// The file that was read, if there was one.
    pub source: Option<PathBuf>,
}

/// How a worker shows that it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// The time between two heartbeats. Default 3 s.
    pub heartbeat_every: Duration,
    /// A worker that is silent for this long is dead; at least twice `heartbeat_every`. Default 10 s.
    pub heartbeat_ttl: Duration,
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            heartbeat_every: Duration::from_secs(3),
            heartbeat_ttl: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Reads the configuration, and tells of every problem at once.
    pub fn load(env: &Environment) -> Result<Self, ConfigError> {
        let Some(path) = env.config_path() else {
            return assemble::assemble(env, None, file::File::default(), None);
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Problem::new(
                Origin::file(&path, None),
                format!("cannot be read: {error}"),
            )
        })?;
        Self::from_yaml(env, &path, &text)
    }

    /// Reads the configuration from the text of a file.
    pub fn from_yaml(env: &Environment, path: &Path, text: &str) -> Result<Self, ConfigError> {
        let file = parse(path, text)?;
        assemble::assemble(env, Some(path), file, None)
    }
}

#[cfg(test)]
mod broken;
#[cfg(test)]
mod presets;
#[cfg(test)]
mod tests;

//! The configuration of a process.
//!
//! The value of a setting comes from the first of these sources that has it: the environment (and `.env`),
//! the file `longshore.yaml`, the default. The variable of a setting is its path in the file, in capitals,
//! after `LONGSHORE_`: `retry.base_delay` is `LONGSHORE_RETRY_BASE_DELAY`. An empty variable counts as
//! unset. Without any setting, the defaults apply, and every provider is enabled whose key is in the
//! environment.
//!
//! `table.rs` has a row for every setting. To add a setting, add its row there, and its field with its default
//! to the struct that uses it; then run `make docs`.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use longshore_policy::{
    capabilities::Capability,
    catalog::{Catalog, UnknownPrice},
    cron::CronDefinition,
    gates::Gates,
    limits::{Alerts, Budget, Circuit, LimitedQueues, Tenants},
    queues::{QueueOrder, QueueShare},
    recipes::Recipes,
    redis::{RedisAccess, RedisSettings, RedisUrl},
    replay::ReplayRule,
    retention::Retention,
    retry::RetryPolicy,
    routing::Routing,
    tools::{Tools, Workspaces},
    webhook::WebhookSettings,
};
use longshore_protocol::{
    encryption::Keyring,
    envelope::{DEFAULT_TIMEOUT, MessageLimits},
    id::{CronName, Namespace, QueueName},
};
use longshore_settings::{ConfigError, Environment, Origin, Problem, yaml::parse};
use secrecy::SecretString;
use url::Url;

pub use shown::Shown;

mod assemble;
mod capabilities;
mod commands;
mod cron;
mod dead_letters;
mod encryption;
mod forms;
mod gates;
mod limits;
mod recipes;
pub mod reference;
mod reload;
mod routing;
mod secrets;
mod section;
mod sections;
mod shown;
mod table;
mod tools;
mod webhooks;

/// The configuration of a process. The reference in `docs/CONFIGURATION.md` describes the settings.
#[derive(Debug, Clone)]
pub struct Config {
    pub redis_url: RedisUrl,
    /// What the URL of Redis does not say.
    pub redis_access: RedisAccess,
    pub database_url: SecretString,
    pub database_password_file: Option<PathBuf>,
    pub namespace: Namespace,
    /// The queues that a worker reads.
    pub queues: Vec<QueueShare>,
    pub queue_order: QueueOrder,
    pub concurrency: usize,
    pub grace: Duration,
    pub listen: Option<SocketAddr>,
    pub migrate: bool,
    pub simulator_url: Option<Url>,
    /// The retry policy of jobs that name none.
    pub retry: RetryPolicy,
    /// The retry policies that a job may name. What one of them omits is as in `retry`.
    pub retries: BTreeMap<String, RetryPolicy>,
    pub limits: MessageLimits,
    pub liveness: Liveness,
    pub retention: Retention,
    /// The keys that encrypt what is stored; none by default.
    pub keyring: Keyring,
    pub routing: Routing,
    pub cli_tools: Vec<String>,
    pub unknown_price: UnknownPrice,
    /// The files of models, as the file writes their paths.
    pub model_files: Vec<String>,
    /// The providers and models.
    pub catalog: Catalog,
    /// The budgets, in the order of the file.
    pub budgets: Vec<Budget>,
    pub tenants: Tenants,
    pub queue_limits: LimitedQueues,
    pub alerts: Alerts,
    pub webhooks: WebhookSettings,
    pub circuit: Circuit,
    /// The rules that replay dead letters, in the order of the file.
    pub replay_rules: Vec<ReplayRule>,
    /// The recurring jobs.
    pub cron: BTreeMap<CronName, CronDefinition>,
    /// The recipes, the shipped ones included.
    pub recipes: Recipes,
    /// The files of recipes, as the file writes their paths.
    pub recipe_files: Vec<String>,
    /// The model that classifies in the shipped recipe, if a job names no other.
    pub cto_model: Option<String>,
    /// What a worker does beside calls.
    pub capabilities: Vec<Capability>,
    /// The commands that chain steps may name.
    pub gates: Gates,
    /// The directories in which tools for files work.
    pub workspaces: Workspaces,
    /// The tools that chain steps may name.
    pub tools: Tools,
    /// What looks wrong but does not prevent a start.
    pub warnings: Vec<String>,
    /// Where each setting and entry is set. The others have their defaults.
    pub origins: BTreeMap<String, Origin>,
    /// The file that was read, if there was one.
    pub source: Option<PathBuf>,
}

/// The heartbeats of workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// The time between two heartbeats.
    pub heartbeat_every: Duration,
    /// A worker without a heartbeat for this long is dead.
    pub heartbeat_ttl: Duration,
}

impl Liveness {
    /// How long a heartbeat must be missing at every check before its worker counts as dead: long enough for
    /// a worker to send two after Redis has been away, and for two checks.
    pub fn missing_for(&self) -> Duration {
        (2 * self.heartbeat_every).max(Duration::from_secs(1))
    }
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
    /// Reads the configuration. The error has every problem.
    pub fn load(env: &Environment) -> Result<Self, ConfigError> {
        let Some(path) = env.config_path() else {
            return assemble::assemble(env, None, None, None);
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
        assemble::assemble(env, Some(path), Some(parse(path, text)?), None)
    }

    /// How to reach Redis.
    pub fn redis(&self) -> RedisSettings {
        RedisSettings {
            url: self.redis_url.clone(),
            access: self.redis_access.clone(),
        }
    }

    /// The names of the queues that a worker reads.
    pub fn queue_names(&self) -> Vec<QueueName> {
        let shares = self.queues.iter();
        shares.map(|share| share.queue.clone()).collect()
    }

    /// The defaults of all settings, before a file or an environment is read.
    fn unread() -> Self {
        Self {
            redis_url: RedisUrl::default(),
            redis_access: RedisAccess::default(),
            database_url: "postgres://127.0.0.1:5432/longshore".into(),
            database_password_file: None,
            namespace: Namespace::default(),
            queues: vec![QueueName::default().into()],
            queue_order: QueueOrder::Weighted,
            concurrency: 1_000,
            grace: DEFAULT_TIMEOUT + Duration::from_secs(30),
            listen: None,
            migrate: true,
            simulator_url: None,
            retry: RetryPolicy::default(),
            retries: BTreeMap::new(),
            limits: MessageLimits::default(),
            liveness: Liveness::default(),
            retention: Retention::default(),
            keyring: Keyring::default(),
            routing: routing::defaults(),
            cli_tools: ["claude", "codex", "gemini"].map(str::to_owned).into(),
            unknown_price: UnknownPrice::Refuse,
            model_files: Vec::new(),
            catalog: Catalog::default(),
            budgets: Vec::new(),
            tenants: Tenants::default(),
            queue_limits: LimitedQueues::new(),
            alerts: Alerts::default(),
            webhooks: WebhookSettings::default(),
            circuit: Circuit::default(),
            replay_rules: Vec::new(),
            cron: BTreeMap::new(),
            recipes: Recipes::default(),
            recipe_files: Vec::new(),
            cto_model: None,
            capabilities: Vec::new(),
            gates: Gates::new(),
            workspaces: Workspaces::new(),
            tools: Tools::new(),
            warnings: Vec::new(),
            origins: BTreeMap::new(),
            source: None,
        }
    }
}

#[cfg(test)]
mod all_problems;
#[cfg(test)]
mod broken;
#[cfg(test)]
mod presets;
#[cfg(test)]
mod tests;

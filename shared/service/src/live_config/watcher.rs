//! Detects that the file changed or that a configuration was pushed, and applies it.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use longshore_broker::{Broker, BrokerError, PushedConfig};
use longshore_config::Config;
use longshore_settings::{ConfigError, Environment, Origin, Problem};
use tokio::{
    signal::unix::Signal,
    sync::{Notify, watch},
};
use tokio_util::sync::CancellationToken;

use crate::health::HealthState;
use crate::instruments::CONFIG_RELOADS;

/// How often the file is read. It is polled, because file system notifications work neither on network drives
/// nor through the links by which Kubernetes replaces a `ConfigMap`, and one small file costs almost nothing.
/// A change is applied once two reads agree, so that no half-written file is applied.
const READ_FILE_EVERY: Duration = Duration::from_millis(500);

/// How often Redis is polled for the version of the pushed configuration, in case a notification was lost.
const POLL_PUSHED_EVERY: Duration = Duration::from_secs(1);

/// The name of the part in the health endpoint.
const CHECK: &str = "config";

/// What a read of the file found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum FileRead {
    Text(PathBuf, String),
    Absent,
    Unreadable(PathBuf, String),
}

/// Rebuilds the configuration when its sources change.
pub(super) struct Watcher {
    env: Environment,
    /// What the process started with. Some settings only change with a restart.
    started: Config,
    /// The read that was last applied or refused.
    applied: FileRead,
    /// The latest read.
    latest: FileRead,
    pushed: Option<PushedConfig>,
    version: u64,
    polled_at: Instant,
    broker: Broker,
    health: HealthState,
    sender: watch::Sender<Arc<Config>>,
}

impl Watcher {
    pub(super) fn new(
        env: Environment,
        started: Config,
        broker: Broker,
        health: HealthState,
        sender: watch::Sender<Arc<Config>>,
    ) -> Self {
        let read = read_file(&env);
        health.beat(CHECK);
        Self {
            env,
            started,
            applied: read.clone(),
            latest: read,
            pushed: None,
            version: 0,
            polled_at: Instant::now(),
            broker,
            health,
            sender,
        }
    }

    /// Applies the pushed configuration before the process starts its work.
    pub(super) async fn apply_pushed(&mut self) {
        if self.poll_pushed().await {
            self.reload();
        }
    }

    /// Follows changes until `stop`, or until the last reader of the configuration is gone.
    pub(super) async fn watch(
        mut self,
        mut hangup: Signal,
        refresh: Arc<Notify>,
        stop: CancellationToken,
    ) {
        let mut every = tokio::time::interval(READ_FILE_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let changed = tokio::select! {
                _ = every.tick() => {
                    let file = self.file_changed();
                    let due = self.polled_at.elapsed() >= POLL_PUSHED_EVERY;
                    (due && self.poll_pushed().await) || file
                }
                () = refresh.notified() => self.poll_pushed().await,
                Some(()) = hangup.recv() => {
                    self.applied = read_file(&self.env);
                    self.latest = self.applied.clone();
                    self.poll_pushed().await;
                    true
                }
                () = stop.cancelled() => return,
                () = self.sender.closed() => return,
            };
            if changed {
                self.reload();
            }
        }
    }

    /// Whether the file changed, and two reads agree.
    fn file_changed(&mut self) -> bool {
        let before = std::mem::replace(&mut self.latest, read_file(&self.env));
        let changed = before == self.latest && self.latest != self.applied;
        if changed {
            self.applied = self.latest.clone();
            if self.pushed.is_some() {
                tracing::info!(
                    "configuration file changed, but not applied: a pushed configuration is active"
                );
            }
        }
        changed && self.pushed.is_none()
    }

    /// Whether the pushed configuration changed. If Redis fails, nothing changes.
    async fn poll_pushed(&mut self) -> bool {
        self.polled_at = Instant::now();
        self.newly_pushed().await.unwrap_or_else(|error| {
            tracing::debug!("check for a pushed configuration failed: {error}");
            false
        })
    }

    async fn newly_pushed(&mut self) -> Result<bool, BrokerError> {
        if self.broker.fleet_config().version().await? == self.version {
            return Ok(false);
        }
        let (version, pushed) = self.broker.fleet_config().get().await?;
        self.version = version;
        let changed = pushed != self.pushed;
        self.pushed = pushed;
        Ok(changed)
    }

    /// Rebuilds the configuration. If it is invalid, the previous one stays active.
    fn reload(&self) {
        match self.build() {
            Ok(config) => {
                CONFIG_RELOADS.add(["applied"], 1);
                self.health.beat(CHECK);
                for warning in &config.warnings {
                    tracing::warn!("{warning}");
                }
                let from = config
                    .source
                    .as_deref()
                    .unwrap_or_else(|| "no file".as_ref());
                tracing::info!(from = %from.display(), "configuration reloaded");
                self.broker.set_retention(config.retention.clone());
                self.sender.send_replace(Arc::new(config));
            }
            Err(error) => {
                CONFIG_RELOADS.add(["refused"], 1);
                tracing::error!("configuration refused; the previous one stays active:\n{error}");
                self.health.warn(CHECK, format!("refused: {error}"));
            }
        }
    }

    fn build(&self) -> Result<Config, ConfigError> {
        if let Some(pushed) = &self.pushed {
            return self
                .started
                .with_pushed(&self.env, pushed.version, &pushed.text);
        }
        match &self.applied {
            FileRead::Text(path, text) => self.started.with_file(&self.env, path, text),
            FileRead::Unreadable(path, error) => Err(problem(path, error)),
            FileRead::Absent => match &self.started.source {
                Some(path) => Err(problem(path, "the file was removed; restore it")),
                None => Ok(self.started.clone()),
            },
        }
    }
}

fn problem(path: &std::path::Path, text: &str) -> ConfigError {
    Problem::new(Origin::file(path, None), text).into()
}

fn read_file(env: &Environment) -> FileRead {
    let Some(path) = env.config_path() else {
        return FileRead::Absent;
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => FileRead::Text(path, text),
        Err(error) => FileRead::Unreadable(path, format!("cannot be read: {error}")),
    }
}

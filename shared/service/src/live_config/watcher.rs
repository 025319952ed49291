//! Sees that the file changed or that something was pushed, and makes a configuration of it.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use longshore_broker::{Broker, BrokerError, Pushed};
use longshore_config::Config;
use longshore_settings::{ConfigError, Environment, Origin, Problem};
use tokio::{
    signal::unix::Signal,
    sync::{Notify, watch},
};
use tokio_util::sync::CancellationToken;

use crate::health::HealthState;

/// How often the file is looked at. It is read, not watched: notices of the file system come neither
/// from network drives nor through the links by which Kubernetes replaces a `ConfigMap`, and one small
/// file costs next to nothing. A change is taken when two looks agree, so that none is half written.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often Redis is asked for the version of what is pushed, should its message have been missed.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The name in the health endpoint.
const CHECK: &str = "config";

/// The file as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Text(PathBuf, String),
    Absent,
    Unreadable(PathBuf, String),
}

/// Makes the configuration anew when its sources change.
pub(super) struct Watcher {
    env: Environment,
    /// What the process started with; only a start can change some of it.
    started: Config,
    /// The file as it was last made use of, or refused.
    taken: Seen,
    /// The file as it looked last.
    seen: Seen,
    pushed: Option<Pushed>,
    version: u64,
    asked_at: Instant,
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
        let seen = look(&env);
        health.beat(CHECK);
        Self {
            env,
            started,
            taken: seen.clone(),
            seen,
            pushed: None,
            version: 0,
            asked_at: Instant::now(),
            broker,
            health,
            sender,
        }
    }

    /// Takes what is pushed before the process begins its work.
    pub(super) async fn begin(&mut self) {
        if self.hear().await {
            self.renew();
        }
    }

    /// Follows until `stop`, or until nobody reads the configuration any more.
    pub(super) async fn watch(
        mut self,
        mut hangup: Signal,
        asked: Arc<Notify>,
        stop: CancellationToken,
    ) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let changed = tokio::select! {
                _ = every.tick() => {
                    let file = self.file_changed();
                    let due = self.asked_at.elapsed() >= ASK_EVERY;
                    (due && self.hear().await) || file
                }
                () = asked.notified() => self.hear().await,
                Some(()) = hangup.recv() => {
                    self.taken = look(&self.env);
                    self.seen = self.taken.clone();
                    self.hear().await;
                    true
                }
                () = stop.cancelled() => return,
                () = self.sender.closed() => return,
            };
            if changed {
                self.renew();
            }
        }
    }

    /// Whether the file is another than it was, and has been for two looks.
    fn file_changed(&mut self) -> bool {
        let before = std::mem::replace(&mut self.seen, look(&self.env));
        let settled = before == self.seen && self.seen != self.taken;
        if settled {
            self.taken = self.seen.clone();
            if self.pushed.is_some() {
                tracing::info!(
                    "the file changed, but the pushed configuration stands in its place"
                );
            }
        }
        settled && self.pushed.is_none()
    }

    /// Whether something else is pushed than before. Where Redis does not answer, nothing changes.
    async fn hear(&mut self) -> bool {
        self.asked_at = Instant::now();
        self.newly_pushed().await.unwrap_or_else(|error| {
            tracing::debug!("whether a configuration was pushed is not known: {error}");
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

    /// Makes the configuration anew; where it is wrong, the old one stays.
    fn renew(&self) {
        match self.make() {
            Ok(config) => {
                counted("taken").increment(1);
                self.health.beat(CHECK);
                for warning in &config.warnings {
                    tracing::warn!("{warning}");
                }
                let from = config
                    .source
                    .as_deref()
                    .unwrap_or_else(|| "no file".as_ref());
                tracing::info!(from = %from.display(), "a new configuration is taken");
                self.broker.set_retention(config.retention.clone());
                self.sender.send_replace(Arc::new(config));
            }
            Err(error) => {
                counted("refused").increment(1);
                tracing::error!("a new configuration is refused, the old one stays:\n{error}");
                self.health.warn(CHECK, format!("refused: {error}"));
            }
        }
    }

    fn make(&self) -> Result<Config, ConfigError> {
        if let Some(pushed) = &self.pushed {
            return self
                .started
                .with_pushed(&self.env, pushed.version, &pushed.text);
        }
        match &self.taken {
            Seen::Text(path, text) => self.started.with_file(&self.env, path, text),
            Seen::Unreadable(path, error) => Err(problem(path, error)),
            Seen::Absent => match &self.started.source {
                Some(path) => Err(problem(path, "is no longer there; put it back")),
                None => Ok(self.started.clone()),
            },
        }
    }
}

fn problem(path: &std::path::Path, text: &str) -> ConfigError {
    Problem::new(Origin::file(path, None), text).into()
}

fn counted(result: &'static str) -> metrics::Counter {
    metrics::counter!("longshore_config_reloads_total", "result" => result)
}

/// The file as it is now.
fn look(env: &Environment) -> Seen {
    let Some(path) = env.config_path() else {
        return Seen::Absent;
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => Seen::Text(path, text),
        Err(error) => Seen::Unreadable(path, format!("cannot be read: {error}")),
    }
}

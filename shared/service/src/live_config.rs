//! The configuration of a running process, which changes while it runs.
//!
//! It follows the file, SIGHUP, and the configuration that is [pushed](longshore_broker::PushedConfig) to the whole
//! fleet, which replaces the file. An invalid configuration is refused: the previous one stays active, and
//! the health endpoint, the log and `longshore_config_reloads_total` report it.

mod watcher;

use std::sync::Arc;

use longshore_broker::{Broker, task};
use longshore_config::Config;
use longshore_settings::Environment;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
};
use tokio_util::sync::CancellationToken;

use self::watcher::Watcher;
use crate::health::HealthState;

/// The current configuration. Cheap to read and to clone.
#[derive(Debug, Clone)]
pub struct LiveConfig {
    current: watch::Receiver<Arc<Config>>,
    refresh: Arc<Notify>,
}

impl LiveConfig {
    /// A configuration that never changes.
    pub fn fixed(config: Arc<Config>) -> Self {
        Self {
            current: watch::channel(config).1,
            refresh: Arc::default(),
        }
    }

    /// Starts with `config`, applies what is pushed, and follows changes until `stop`. Applies the retention
    /// of each configuration to all clones of `broker`.
    pub async fn follow(
        env: Environment,
        config: Config,
        broker: Broker,
        health: HealthState,
        stop: CancellationToken,
    ) -> std::io::Result<Self> {
        let (sender, current) = watch::channel(Arc::new(config.clone()));
        let refresh = Arc::new(Notify::new());
        let hangup = signal(SignalKind::hangup())?;
        let mut watcher = Watcher::new(env, config, broker, health, sender);
        watcher.apply_pushed().await;
        task::spawn(
            "configuration watcher",
            watcher.watch(hangup, refresh.clone(), stop),
        );
        Ok(Self { current, refresh })
    }

    /// The configuration now. Keep the returned one for an operation that must not see a change.
    pub fn current(&self) -> Arc<Config> {
        self.current.borrow().clone()
    }

    /// Waits for the next change and returns the new configuration; `None` when there will be no more.
    /// Several changes since the last call count as one.
    pub async fn changed(&mut self) -> Option<Arc<Config>> {
        self.current.changed().await.ok()?;
        Some(self.current.borrow_and_update().clone())
    }

    /// Checks Redis for a pushed configuration at once.
    pub fn refresh(&self) {
        self.refresh.notify_one();
    }
}

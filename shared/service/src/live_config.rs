//! The configuration of a running process, which changes while it runs.
//!
//! It follows the file, SIGHUP, and what is [pushed](longshore_broker::Pushed) for the whole fleet, which
//! stands in the file's place. One that is wrong is refused: the old one stays, and the health endpoint,
//! the log and `longshore_config_reloads_total` tell of it.

mod watcher;

use std::sync::Arc;

use longshore_broker::Broker;
use longshore_config::Config;
use longshore_settings::Environment;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
};
use tokio_util::sync::CancellationToken;

use self::watcher::Watcher;
use crate::health::HealthState;

/// The configuration as it is now; cheap to read and to clone.
#[derive(Debug, Clone)]
pub struct LiveConfig {
    current: watch::Receiver<Arc<Config>>,
    asked: Arc<Notify>,
}

impl LiveConfig {
    /// One that never changes: for programs that bring their own.
    pub fn fixed(config: Arc<Config>) -> Self {
        Self {
            current: watch::channel(config).1,
            asked: Arc::default(),
        }
    }

    /// Starts from `config`, takes what is pushed now, and follows until `stop`. Results and ids are
    /// kept by all clones of `broker` as the configuration says from then on.
    pub async fn follow(
        env: Environment,
        config: Config,
        broker: Broker,
        health: HealthState,
        stop: CancellationToken,
    ) -> std::io::Result<Self> {
        let (sender, current) = watch::channel(Arc::new(config.clone()));
        let asked = Arc::new(Notify::new());
        let hangup = signal(SignalKind::hangup())?;
        let mut watcher = Watcher::new(env, config, broker, health, sender);
        watcher.begin().await;
        tokio::spawn(watcher.watch(hangup, asked.clone(), stop));
        Ok(Self { current, asked })
    }

    /// The configuration as it is now. Whoever works by it for a while keeps this one to the end.
    pub fn current(&self) -> Arc<Config> {
        self.current.borrow().clone()
    }

    /// Waits for the next one; `None` when there will be none. What changed before the last call
    /// of this counts, but only once.
    pub async fn changed(&mut self) -> Option<Arc<Config>> {
        self.current.changed().await.ok()?;
        Some(self.current.borrow_and_update().clone())
    }

    /// Asks Redis at once whether something was pushed: somebody said so.
    pub fn look(&self) {
        self.asked.notify_one();
    }
}

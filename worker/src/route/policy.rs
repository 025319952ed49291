//! The policy: the configuration and what is derived from it. It changes while the worker runs; a job keeps
//! the one that it started with.

use std::sync::Arc;

use longshore_broker::task;
use longshore_config::Config;
use longshore_policy::{limits::Meters, routing::Router};
use longshore_protocol::clock::local_time;
use longshore_service::live_config::LiveConfig;
use tokio::sync::watch;

use crate::provider::{ClientError, Registry, client};

/// The configuration and what is derived from it.
pub struct Policy {
    pub(crate) config: Arc<Config>,
    pub(crate) router: Router,
    pub(crate) meters: Meters,
    pub(crate) providers: Registry,
}

impl Policy {
    /// Derives a policy from a configuration.
    pub fn new(config: Arc<Config>, providers: Registry) -> Self {
        Self {
            router: Router::new(&config.catalog, &config.routing, local_time().date_naive()),
            meters: Meters::new(&config.catalog, &config.budgets, &config.queue_limits),
            providers,
            config,
        }
    }
}

/// The policy in force; cheap to read and to clone.
#[derive(Clone)]
pub struct Policies {
    current: watch::Receiver<Arc<Policy>>,
    live: LiveConfig,
}

impl Policies {
    /// A policy that never changes, for programs that bring their own providers.
    pub fn fixed(policy: Policy) -> Self {
        let live = LiveConfig::fixed(policy.config.clone());
        Self {
            current: watch::channel(Arc::new(policy)).1,
            live,
        }
    }

    /// Follows the configuration. All providers share one HTTP client, so that connections survive every
    /// change.
    pub fn follow(live: LiveConfig) -> Result<Self, ClientError> {
        let client = client()?;
        let derive = move |config: Arc<Config>| {
            let providers = Registry::over_http(&config.catalog, &client);
            Arc::new(Policy::new(config, providers))
        };
        let (sender, current) = watch::channel(derive(live.current()));
        let mut changes = live.clone();
        task::spawn("routing policy", async move {
            // Ends when the configuration is no longer followed, or when all receivers are gone.
            while let Some(config) = changes.changed().await {
                if sender.send(derive(config)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { current, live })
    }

    /// The policy in force. A job reads it once and keeps it: an older policy, with providers that are no
    /// longer configured, is dropped with its last job.
    pub(crate) fn current(&self) -> Arc<Policy> {
        self.current.borrow().clone()
    }

    /// Waits for the next policy; for ever if there will be no more.
    pub(crate) async fn changed(&mut self) {
        if self.current.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn live(&self) -> LiveConfig {
        self.live.clone()
    }

    /// Checks at once whether a configuration was pushed.
    pub(crate) fn refresh_soon(&self) {
        self.live.refresh();
    }
}

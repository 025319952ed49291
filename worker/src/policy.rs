//! By what a worker decides: the configuration, and what follows from it. It changes while the worker
//! runs; a job keeps the one that it began with.

use std::sync::Arc;

use chrono::Utc;
use longshore_config::Config;
use longshore_policy::{limits::Meters, routing::Router};
use longshore_service::live_config::LiveConfig;
use tokio::sync::watch;

use crate::{
    provider::{ClientError, client},
    registry::Registry,
};

/// By what a worker decides.
pub struct Policy {
    /// The configuration.
    pub config: Arc<Config>,
    /// Who may answer what.
    pub router: Router,
    /// What limits calls.
    pub meters: Meters,
    /// Who can be called.
    pub providers: Registry,
}

impl Policy {
    /// Makes of a configuration what follows from it.
    pub fn new(config: Arc<Config>, providers: Registry) -> Self {
        Self {
            router: Router::new(&config.catalog, &config.routing, Utc::now().date_naive()),
            meters: Meters::new(&config.catalog, &config.budgets),
            providers,
            config,
        }
    }
}

/// The policy as it is now; cheap to read and to clone.
#[derive(Clone)]
pub struct Policies {
    current: watch::Receiver<Arc<Policy>>,
    live: LiveConfig,
}

impl Policies {
    /// One that never changes: for programs that bring their own providers.
    pub fn fixed(policy: Policy) -> Self {
        let live = LiveConfig::fixed(policy.config.clone());
        Self {
            current: watch::channel(Arc::new(policy)).1,
            live,
        }
    }

    /// Follows the configuration, with all providers over HTTP and over one client, whose connections
    /// outlive every change.
    pub fn follow(live: LiveConfig) -> Result<Self, ClientError> {
        let client = client()?;
        let make = move |config: Arc<Config>| {
            let providers = Registry::over_http(&config.catalog, &client);
            Arc::new(Policy::new(config, providers))
        };
        let (sender, current) = watch::channel(make(live.current()));
        let mut changes = live.clone();
        tokio::spawn(async move {
            // Until the configuration is followed no more, or nobody reads what comes of it.
            while let Some(config) = changes.changed().await {
                if sender.send(make(config)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { current, live })
    }

    /// The policy as it is now. A job asks once and keeps it: an older policy, and the providers that
    /// are no longer in it, end with their last job.
    pub fn current(&self) -> Arc<Policy> {
        self.current.borrow().clone()
    }

    /// The configuration that it follows.
    pub(crate) fn live(&self) -> LiveConfig {
        self.live.clone()
    }

    /// Somebody said that a configuration was pushed: it is looked for at once.
    pub fn look(&self) {
        self.live.refresh();
    }
}

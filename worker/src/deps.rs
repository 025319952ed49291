//! What the parts of a worker share.

use std::sync::Arc;

use longshore_shared::{broker::Broker, config::Config, health::HealthState, id::WorkerId};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    hands::Hands,
    policy::{Policies, Policy},
    registry::Registry,
    route::Router,
};

/// What the parts of a worker share.
pub struct Deps {
    /// Redis.
    pub broker: Broker,
    /// The configuration as it was at the start: for what only a start can change.
    pub config: Arc<Config>,
    /// The server's time.
    pub clock: Clock,
    /// Who may answer what.
    pub router: Router,
    /// Who can be called.
    pub providers: Registry,
    /// By what jobs are decided.
    pub policies: Policies,
    /// Who we are.
    pub worker: WorkerId,
    /// The jobs that it has.
    pub hands: Hands,
    /// Free places for jobs.
    pub places: Arc<Semaphore>,
    /// Jobs that were in two crashes run one at a time, so that the one that crashes workers takes no
    /// other along.
    pub suspects: Semaphore,
    /// Set when no more is to be pulled.
    pub drain: CancellationToken,
    /// Set when the grace period is over: what still runs is handed back.
    pub abort: CancellationToken,
    /// What the health endpoint tells.
    pub health: HealthState,
}

impl Deps {
    /// By what a job that begins now is decided. It keeps this one to its end.
    pub fn policy(&self) -> Arc<Policy> {
        self.policies.current()
    }
}

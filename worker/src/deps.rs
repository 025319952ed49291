//! What the parts of a worker share.

use std::sync::Arc;

use longshore_broker::Broker;
use longshore_config::Config;
use longshore_protocol::id::WorkerId;
use longshore_service::{health::HealthState, webhook::Webhooks};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::Accounts,
    circuit::Circuits,
    clock::Clock,
    fairness::Fairness,
    gate::Gate,
    hands::Hands,
    pauses::KnownPauses,
    policy::{Policies, Policy},
};

/// What the parts of a worker share.
pub struct Deps {
    /// Redis.
    pub broker: Broker,
    /// The configuration that it started with: what does not change while it runs.
    pub config: Arc<Config>,
    /// The server's time.
    pub clock: Clock,
    /// By what jobs are decided.
    pub policies: Policies,
    /// Where the ends of chains are told.
    pub webhooks: Webhooks,
    /// Which models are well.
    pub circuits: Circuits,
    /// Which accounts their providers limit.
    pub accounts: Accounts,
    /// What is paused.
    pub pauses: KnownPauses,
    /// Whether it is worth pulling new jobs.
    pub gate: Gate,
    /// Whether tenants are to share.
    pub fairness: Fairness,
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
    /// By what jobs are decided now; a job asks once and keeps it.
    pub fn policy(&self) -> Arc<Policy> {
        self.policies.current()
    }
}

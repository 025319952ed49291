//! What the parts of a worker share.

mod in_flight;
mod pull_signals;

use std::sync::Arc;

use longshore_broker::Broker;
use longshore_config::Config;
use longshore_protocol::id::WorkerId;
use longshore_service::{health::HealthState, traces::Traces, webhook::Webhooks};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    in_flight::InFlight,
    pull_signals::{PullGate, QueueGates, TenantActivity},
};
use crate::{
    clock::Clock,
    log::JobLog,
    record::RecentAttempts,
    route::{
        Availability,
        policy::{Policies, Policy},
    },
};

/// What the parts of a worker share.
pub(crate) struct Context {
    pub(crate) broker: Broker,
    /// The configuration at start: settings that do not change while the worker runs.
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) policies: Policies,
    pub(crate) webhooks: Webhooks,
    /// Which providers can take calls now.
    pub(crate) availability: Availability,
    /// Closed while every new job would only be parked.
    pub(crate) pull_gate: PullGate,
    /// Closed for queues whose new jobs would only be parked for the limits of the queue.
    pub(crate) queue_gates: QueueGates,
    pub(crate) tenant_activity: TenantActivity,
    /// This worker's id.
    pub(crate) worker: WorkerId,
    pub(crate) in_flight: InFlight,
    /// Writes the log lines about single jobs.
    pub(crate) log: JobLog,
    /// The attempts that ended lately, in case Redis loses them.
    pub(crate) recent_attempts: RecentAttempts,
    /// Free slots for jobs.
    pub(crate) slots: Arc<Semaphore>,
    /// One permit for jobs whose workers died twice: they run one at a time, so that the job that crashes
    /// workers takes no other suspect with it.
    pub(crate) suspects: Semaphore,
    /// Cancelled when the worker stops pulling.
    pub(crate) drain: CancellationToken,
    /// Cancelled when the grace period ends: running jobs are handed back.
    pub(crate) abort: CancellationToken,
    pub(crate) health: HealthState,
    /// Where spans go.
    pub(crate) traces: Traces,
}

impl Context {
    /// The policy in force. A job reads it once and keeps it.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.policies.current()
    }
}

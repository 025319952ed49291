//! The names of the Redis keys of a namespace. All carry the same hash tag, `{namespace}`.

use crate::{
    chain::ChainId,
    id::{JobId, Namespace, Place, QueueName, WorkerId},
};

/// The consumer group of the queues.
pub const WORKERS_GROUP: &str = "workers";

/// The consumer group of the events stream.
pub const LEDGER_GROUP: &str = "ledger";

/// The pseudo-consumer that holds what was given back and waits for the next worker.
pub const RETURNED: &str = "returned";

/// The mark of an entry of which something is remembered in [`Keys::resume`].
pub const RESUME_FIELD: &[u8] = b"_resume";

/// The keys of one namespace.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: String,
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident = $suffix:literal;)+) => {
        $($(#[$doc])* pub fn $name(&self) -> String {
            format!(concat!("{}:", $suffix), self.prefix)
        })+
    };
}

impl Keys {
    /// The keys of `namespace`.
    pub fn new(namespace: &Namespace) -> Self {
        Self {
            prefix: format!("{{{namespace}}}"),
        }
    }

    /// `{namespace}`, with its braces.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The stream of a queue.
    pub fn queue(&self, queue: &QueueName) -> String {
        format!("{}:queue:{queue}", self.prefix)
    }

    /// The outcome of a job, kept for a while.
    pub fn result(&self, job: &JobId) -> String {
        format!("{}:result:{job}", self.prefix)
    }

    /// The list that a producer waits on.
    pub fn reply(&self, job: &JobId) -> String {
        format!("{}:reply:{job}", self.prefix)
    }

    /// What is known of a producer's own id: content hash and place.
    pub fn id(&self, job: &JobId) -> String {
        format!("{}:id:{job}", self.prefix)
    }

    /// A chain's state, figures and counts; what belongs to it has longer names.
    pub fn chain(&self, chain: &ChainId) -> String {
        format!("{}:chain:{chain}", self.prefix)
    }

    /// The outcomes of a chain's steps that others read.
    pub fn chain_contexts(&self, chain: &ChainId) -> String {
        format!("{}:chain:{chain}:contexts", self.prefix)
    }

    /// What runs of a chain: the job of each instance.
    pub fn chain_running(&self, chain: &ChainId) -> String {
        format!("{}:chain:{chain}:running", self.prefix)
    }

    /// What ended of a chain without success, by instance.
    pub fn chain_failed(&self, chain: &ChainId) -> String {
        format!("{}:chain:{chain}:failed", self.prefix)
    }

    /// The tasks of a batch that have yet to come to the queue.
    pub fn batch_lines(&self, batch: &ChainId) -> String {
        format!("{}:chain:{batch}:lines", self.prefix)
    }

    /// Those ids of a batch's jobs that their producer chose, by the index of the task.
    pub fn batch_ids(&self, batch: &ChainId) -> String {
        format!("{}:chain:{batch}:ids", self.prefix)
    }

    /// Where the steps of a chain lie until it begins.
    pub fn chain_laid_down(&self, place: &Place) -> String {
        format!("{}:chain-new:{place}", self.prefix)
    }

    /// The lane of a limit.
    pub fn quota_lane(&self, meter: &str) -> String {
        format!("{}:lane:quota:{meter}", self.prefix)
    }

    /// The lane of a tenant's jobs of a queue.
    pub fn tenant_lane(&self, queue: &QueueName, tenant: &str) -> String {
        format!("{}:lane:tenant:{queue}:{tenant}", self.prefix)
    }

    /// The tenants whose jobs of a queue wait, by their turns; beside it, with `:weights`, those weights
    /// that are not 1.
    pub fn tenants(&self, queue: &QueueName) -> String {
        format!("{}:tenants:{queue}", self.prefix)
    }

    /// What is taken of a limit.
    pub fn quota(&self, meter: &str) -> String {
        format!("{}:quota:{meter}", self.prefix)
    }

    /// Who has the places of a limit.
    pub fn slots(&self, meter: &str) -> String {
        format!("{}:slots:{meter}", self.prefix)
    }

    /// A worker's heartbeat.
    pub fn worker(&self, worker: &WorkerId) -> String {
        format!("{}:worker:{worker}", self.prefix)
    }

    fixed! {
        /// The stream of facts for the record.
        events = "events";
        /// Facts that Postgres refused, kept for a person to look at.
        bad_events = "events:bad";
        /// The begun attempts, by place.
        inflight = "inflight";
        /// What is remembered of jobs that were begun before, by place.
        resume = "resume";
        /// Crashes of workers, by the place of the job that they ran.
        crashes = "crashes";
        /// Jobs that wait for a time.
        time_lane = "lane:time";
        /// Jobs that wait for a worker of a newer protocol.
        version_lane = "lane:version";
        /// The jobs of all lanes, by id.
        lane_jobs = "lane:jobs";
        /// The dead letters by time.
        dead = "dead";
        /// The dead letters, by id.
        dead_jobs = "dead:jobs";
        /// What the keys of all bulk replays begin with.
        dead_replay_prefix = "dead:replay:";
        /// The jobs that somebody asked to cancel, by time.
        cancelled = "cancelled";
        /// What is paused, by kind and name.
        paused = "paused";
        /// The lanes of jobs that wait until something is resumed.
        paused_lanes = "paused:lanes";
        /// The channel of requests to running workers.
        control = "control";
        /// The channel that wakes the scheduler.
        wake = "wake";
        /// The circuits of the models that fail, by platform and model.
        circuits = "circuits";
        /// The configuration that was pushed for the whole fleet.
        config = "config";
        /// The chains, by when they began.
        chains = "chains";
        /// The lease of the leading scheduler.
        leader = "leader";
        /// The recurring jobs, by name.
        cron = "cron";
        /// The recurring jobs, by their next ticks.
        cron_next = "cron:next";
        /// The last ticks of the recurring jobs, and how many ran and were skipped.
        cron_state = "cron:state";
        /// When to look again at the lanes of limits, by meter.
        gates = "gates";
        /// The meters of windows, by when to look at them: at their ends.
        windows = "windows";
        /// The alerts that are not delivered yet, by id.
        alerts = "alerts";
        /// When to deliver them.
        alerts_due = "alerts:due";
        /// The meters of which a whole percent more is used since it was looked for alerts.
        alerts_look = "alerts:look";
        /// Until when accounts are not to be called, as their providers said, by account.
        limited = "limited";
        /// The names of the queues that workers have read.
        queues = "queues";
        /// What all queues' keys begin with.
        queue_prefix = "queue:";
        /// What all workers' keys begin with.
        worker_prefix = "worker:";
        /// What all concurrency keys' holders begin with.
        holders_prefix = "key:";
        /// What all places of limits begin with.
        slots_prefix = "slots:";
        /// What all outcomes begin with.
        result_prefix = "result:";
        /// What all lanes begin with.
        lane_prefix = "lane:";
        /// What all lanes of concurrency keys begin with.
        key_lane_prefix = "lane:key:";
        /// What all lanes of limits begin with.
        quota_lane_prefix = "lane:quota:";
        /// What all lanes of tenants begin with; queue and tenant follow.
        tenant_lane_prefix = "lane:tenant:";
    }
}

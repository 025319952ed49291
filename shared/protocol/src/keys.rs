//! The names of the Redis keys of a namespace. All carry the same hash tag, `{namespace}`.

use crate::{
    chain::ChainId,
    id::{EntryId, JobId, Namespace, QueueName, WorkerId},
    reply::ReplyTo,
};

/// The consumer group of the queues.
pub const WORKERS_GROUP: &str = "workers";

/// The consumer group of the events stream.
pub const LEDGER_GROUP: &str = "ledger";

/// The pseudo-consumer that owns entries which were handed back or recovered, until a worker pulls them.
pub const RETURNED: &str = "returned";

/// The mark of an entry that has a checkpoint in [`Keys::checkpoints`].
pub const CHECKPOINT_FIELD: &[u8] = b"_checkpoint";

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

    /// The list that a producer waits on. Lists with a reader have a prefix of their own, which no job id can write.
    pub fn reply(&self, to: &ReplyTo, job: &JobId) -> String {
        match to {
            ReplyTo::Anyone => format!("{}:reply:{job}", self.prefix),
            ReplyTo::Reader(name) => format!("{}:reply-to:{name}:{job}", self.prefix),
        }
    }

    /// How the last review of a job ended, kept for a while.
    pub fn decision(&self, job: &JobId) -> String {
        format!("{}:review:{job}", self.prefix)
    }

    /// What a producer's own id stands for: content hash and entry id.
    pub fn id(&self, job: &JobId) -> String {
        format!("{}:id:{job}", self.prefix)
    }

    /// A key of a chain. A colon in its id is escaped: it separates the id from the part.
    fn chain_part(&self, chain: &ChainId, part: &str) -> String {
        let id = chain.as_str().replace(':', "%3A");
        format!("{}:chain:{id}{part}", self.prefix)
    }

    /// A chain's state, settings and counts; its other keys begin with this one.
    pub fn chain(&self, chain: &ChainId) -> String {
        self.chain_part(chain, "")
    }

    /// The outcomes of a chain's steps that other steps read.
    pub fn chain_contexts(&self, chain: &ChainId) -> String {
        self.chain_part(chain, ":contexts")
    }

    /// The running instances of a chain: the job of each.
    pub fn chain_running(&self, chain: &ChainId) -> String {
        self.chain_part(chain, ":running")
    }

    /// The instances of a chain that ended without success, and how.
    pub fn chain_failed(&self, chain: &ChainId) -> String {
        self.chain_part(chain, ":failed")
    }

    /// The tasks of a batch that are not queued yet.
    pub fn batch_lines(&self, batch: &ChainId) -> String {
        self.chain_part(batch, ":lines")
    }

    /// The ids of a batch's jobs that the producer chose, by the index of the task.
    pub fn batch_ids(&self, batch: &ChainId) -> String {
        self.chain_part(batch, ":ids")
    }

    /// The steps of a chain before it starts.
    pub fn prepared_chain(&self, entry_id: &EntryId) -> String {
        format!("{}:chains:prepared:{entry_id}", self.prefix)
    }

    /// The lane of a limit.
    pub fn quota_lane(&self, meter: &str) -> String {
        format!("{}:lane:quota:{meter}", self.prefix)
    }

    /// The lane of a tenant's jobs of a queue.
    pub fn tenant_lane(&self, queue: &QueueName, tenant: &str) -> String {
        format!("{}:lane:tenant:{queue}:{tenant}", self.prefix)
    }

    /// The tenants with parked jobs of a queue, by their turns; beside it, with `:weights`, the weights
    /// other than 1.
    pub fn tenants(&self, queue: &QueueName) -> String {
        format!("{}:tenants:{queue}", self.prefix)
    }

    /// The counters of a limit.
    pub fn quota(&self, meter: &str) -> String {
        format!("{}:quota:{meter}", self.prefix)
    }

    /// The holders of a limit's slots, by entry id.
    pub fn slots(&self, meter: &str) -> String {
        format!("{}:slots:{meter}", self.prefix)
    }

    /// A worker's heartbeat.
    pub fn worker(&self, worker: &WorkerId) -> String {
        format!("{}:worker:{worker}", self.prefix)
    }

    fixed! {
        /// The stream of events for the ledger.
        events = "events";
        /// Events that Postgres refused, kept for a person to examine.
        bad_events = "events:bad";
        /// The journal: attempts that have begun, by entry id.
        inflight = "inflight";
        /// What is kept of jobs between attempts, by entry id.
        checkpoints = "checkpoints";
        /// Crashes of workers, by the entry id of the job that they ran.
        crashes = "crashes";
        /// How many workers died with an entry before they began it, by entry id.
        unbegun = "unbegun";
        /// Jobs that are parked until a time.
        time_lane = "lane:time";
        /// Jobs that are parked until a worker knows their protocol version.
        version_lane = "lane:version";
        /// The parked jobs, by the entry id that each had; the lanes hold these entry ids.
        parked = "parked";
        /// The entry ids of parked jobs, by job id.
        parked_ids = "parked:ids";
        /// The entry ids of dead letters, by time of death.
        dead = "dead";
        /// The dead letters, by entry id.
        dead_jobs = "dead:jobs";
        /// The entry ids of dead letters, by job id.
        dead_ids = "dead:ids";
        /// The prefix of all bulk replays.
        dead_replay_prefix = "dead:replay:";
        /// The messages that were dropped as duplicates and that wait for a reply, by id, by `~` and job id, or by `~~` and chain id.
        replies_waiting = "replies:waiting";
        /// The jobs whose cancellation is requested, by time.
        cancelled = "cancelled";
        /// The open reviews, by job id.
        reviews = "reviews";
        /// When each open review was asked, and the entry id of its parked job, by job id.
        reviews_parked = "reviews:parked";
        /// What is paused, by kind and name.
        paused = "paused";
        /// The lanes of jobs that are parked for a pause.
        paused_lanes = "paused:lanes";
        /// The control channel: requests to running workers.
        control = "control";
        /// The channel that wakes the scheduler.
        wake = "wake";
        /// The circuits of models that failed lately, by platform and model.
        circuits = "circuits";
        /// The configuration that was pushed for the whole fleet.
        config = "config";
        /// The chains, by when they started.
        chains = "chains";
        /// The lease of the leading scheduler.
        leader = "leader";
        /// The recurring jobs, by name.
        cron = "cron";
        /// The recurring jobs, by their next ticks.
        cron_next = "cron:next";
        /// The last ticks of the recurring jobs, and how many ran and were skipped.
        cron_state = "cron:state";
        /// The meters by when to check their lanes.
        lanes_due = "lanes:due";
        /// The meters of the limits of queues that the configuration has or had.
        queue_meters = "queue_meters";
        /// The meters of windows, by when to check them: at their ends.
        windows = "windows";
        /// What the limits of windows count, and since when, by limit.
        limits = "limits";
        /// The alerts that are not delivered yet, by id.
        alerts = "alerts";
        /// When to deliver them.
        alerts_due = "alerts:due";
        /// The meters that used another whole percent since they were last checked for alerts.
        alerts_to_check = "alerts:look";
        /// Account holds: until when not to call an account, because its provider said so.
        account_holds = "account:holds";
        /// What the providers of held accounts said.
        account_reasons = "account:reasons";
        /// Which provider of a held account said so, and the digest of its address and key.
        account_access = "account:access";
        /// The names of the queues that workers have read.
        queues = "queues";
        /// The prefix of all queues.
        queue_prefix = "queue:";
        /// The prefix of all workers' heartbeats.
        worker_prefix = "worker:";
        /// The prefix of the holders of all concurrency keys.
        holders_prefix = "key:";
        /// The prefix of the slots of all limits.
        slots_prefix = "slots:";
        /// The prefix of all outcomes.
        result_prefix = "result:";
        /// The prefix of all lanes.
        lane_prefix = "lane:";
        /// The prefix of the lanes of all concurrency keys.
        key_lane_prefix = "lane:key:";
        /// The prefix of the lanes of all limits.
        quota_lane_prefix = "lane:quota:";
        /// The prefix of the lanes of all tenants; queue and tenant follow.
        tenant_lane_prefix = "lane:tenant:";
    }
}

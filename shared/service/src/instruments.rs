//! The metrics that workers and schedulers export: names, labels and help texts. `docs/METRICS.md` is written from this
//! list.
//!
//! Labels have few values: what producers choose freely (types, tenants, ids) is folded into what the configuration
//! knows.

mod by_labels;
mod dollars;

use std::time::Duration;

use metrics::Label;

use self::by_labels::Handles;
pub use self::dollars::Dollars;
pub(crate) use self::dollars::render_dollars;

/// What is known of a metric before it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name in Prometheus.
    pub name: &'static str,
    /// Its type.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts, in one sentence.
    pub help: &'static str,
    /// The process that exports it.
    pub process: Process,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

impl MetricKind {
    /// The word of the Prometheus format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Which process exports a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// Each worker.
    Worker,
    /// The leading scheduler.
    Leader,
    /// Each worker and each scheduler.
    Both,
}

impl Process {
    /// A word for the reader of the documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Leader => "scheduler",
            Self::Both => "both",
        }
    }
}

/// A counter with `N` labels.
#[derive(Debug)]
pub struct Counter<const N: usize> {
    metric: Metric,
    handles: Handles<metrics::Counter, N>,
}

/// A gauge with `N` labels. It keeps no handles: the recorder forgets gauges that are no longer set.
#[derive(Debug)]
pub struct Gauge<const N: usize>(Metric);

/// A histogram of durations with `N` labels.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    metric: Metric,
    handles: Handles<metrics::Histogram, N>,
}

impl<const N: usize> Counter<N> {
    const KIND: MetricKind = MetricKind::Counter;

    const fn new(metric: Metric) -> Self {
        Self {
            metric,
            handles: Handles::new(),
        }
    }

    /// Adds `by`; `values` are those of the labels, in order.
    pub fn add(&self, values: [&str; N], by: u64) {
        let Metric { name, .. } = self.metric;
        let register = || metrics::counter!(name, self.metric.label(values));
        self.handles.get(values, register).increment(by);
    }
}

impl<const N: usize> Gauge<N> {
    const KIND: MetricKind = MetricKind::Gauge;

    const fn new(metric: Metric) -> Self {
        Self(metric)
    }

    /// Sets the value; `values` are those of the labels, in order.
    pub fn set(&self, values: [&str; N], value: f64) {
        metrics::gauge!(self.0.name, self.0.label(values)).set(value);
    }

    /// As [`Gauge::set`], for a count.
    #[expect(clippy::cast_precision_loss, reason = "a count below 2^53")]
    pub fn set_count(&self, values: [&str; N], count: u64) {
        self.set(values, count as f64);
    }
}

impl<const N: usize> Histogram<N> {
    const KIND: MetricKind = MetricKind::Histogram;

    const fn new(metric: Metric) -> Self {
        Self {
            metric,
            handles: Handles::new(),
        }
    }

    /// Records one duration; `values` are those of the labels, in order.
    pub fn record(&self, values: [&str; N], took: Duration) {
        let Metric { name, .. } = self.metric;
        let register = || metrics::histogram!(name, self.metric.label(values));
        self.handles.get(values, register).record(took);
    }
}

impl Metric {
    fn label<const N: usize>(&self, values: [&str; N]) -> Vec<Label> {
        let named = self.labels.iter().zip(values);
        named
            .map(|(name, value)| Label::new(*name, value.to_owned()))
            .collect()
    }

    /// Tells the recorder what the metric counts.
    fn describe(&self) {
        match self.kind {
            MetricKind::Counter => metrics::describe_counter!(self.name, self.help),
            MetricKind::Gauge => metrics::describe_gauge!(self.name, self.help),
            MetricKind::Histogram => metrics::describe_histogram!(self.name, self.help),
        }
    }
}

/// Tells the recorder what each metric counts. Counters without labels begin at 0, so that their first event is an
/// increase.
pub(crate) fn describe_all(is_scheduler: bool) {
    let other = if is_scheduler {
        Process::Worker
    } else {
        Process::Leader
    };
    for metric in ALL {
        metric.describe();
        if metric.kind == MetricKind::Counter && metric.labels.is_empty() && metric.process != other
        {
            metrics::counter!(metric.name).increment(0);
        }
    }
}

/// One line of the declaration.
macro_rules! metric {
    ($kind:ident, $name:literal, [$($label:literal),*], $process:ident, $($help:literal),+) => {
        Metric {
            name: $name,
            kind: $kind::<0>::KIND,
            labels: &[$($label),*],
            help: concat!($($help),+).trim_ascii(),
            process: Process::$process,
        }
    };
}

/// Declares metrics: `/// help`, then the type, the constant, the name, the labels, and the process.
macro_rules! instruments {
    ($(
        $(#[doc = $help:literal])+
        $kind:ident $constant:ident = $name:literal $labels:tt from $process:ident;
    )+) => {
        $(
            $(#[doc = $help])+
            pub static $constant: $kind<{ count!($labels) }> =
                $kind::new(metric!($kind, $name, $labels, $process, $($help),+));
        )+

        /// Every metric, in the order of the documents.
        pub static ALL: &[Metric] = &[$(metric!($kind, $name, $labels, $process, $($help),+)),+];
    };
}

/// How many labels there are.
macro_rules! count {
    ([$($label:literal),*]) => {
        <[&str]>::len(&[$($label),*])
    };
}

instruments! {
    /// Jobs that ended. The outcome is completed, discarded or cancelled; a type that neither a rule nor a default names is `other`.
    Counter JOBS = "longshore_jobs_total" ["queue", "type", "outcome"] from Worker;
    /// From the start of a job's first attempt to its end.
    Histogram JOB_DURATION = "longshore_job_duration_seconds" ["queue", "outcome"] from Worker;
    /// From the receipt of a job to the start of its first attempt.
    Histogram JOB_WAIT = "longshore_job_wait_seconds" ["queue"] from Worker;
    /// Gates that ran to their end. The outcome is passed, failed, timeout, output, warnings, signal or memory.
    Counter GATES = "longshore_gates_total" ["gate", "outcome"] from Worker;
    /// How long the command of a gate ran.
    Histogram GATE_DURATION = "longshore_gate_duration_seconds" ["gate"] from Worker;
    /// Calls of tools that ended. The outcome is ok, error or interrupted; a tool that the step does not have is `unknown`.
    Counter TOOL_CALLS = "longshore_tool_calls_total" ["tool", "outcome"] from Worker;
    /// How long the call of a tool ran.
    Histogram TOOL_DURATION = "longshore_tool_duration_seconds" ["tool"] from Worker;
    /// Jobs that the worker runs now.
    Gauge JOBS_IN_FLIGHT = "longshore_jobs_in_flight" [] from Worker;
    /// Jobs that were parked because a limit had no room; the meter is without tenant and chain.
    Counter JOBS_WAITED = "longshore_jobs_waited_total" ["meter"] from Worker;
    /// Messages that were dropped because their job or chain had been admitted before.
    Counter MESSAGES_DROPPED = "longshore_messages_dropped_total" [] from Worker;
    /// Chains that started.
    Counter CHAINS_STARTED = "longshore_chains_started_total" [] from Worker;
    /// Jobs that were not settled because another worker had recovered them.
    Counter SETTLES_FENCED = "longshore_settles_fenced_total" [] from Worker;
    /// Attempts that ended; `error_class` is empty for those that succeeded.
    Counter ATTEMPTS = "longshore_attempts_total" ["platform", "model", "outcome", "error_class"] from Worker;
    /// How long attempts took.
    Histogram ATTEMPT_DURATION = "longshore_attempt_duration_seconds" ["platform", "model"] from Worker;
    /// Dollars that attempts cost, as far as their cost is known.
    Dollars COST = "longshore_cost_usd_total" ["platform", "model"] from Worker;
    /// Tokens of attempts. The direction is input (at the full rate), cached, `cache_write`, output or reasoning.
    Counter TOKENS = "longshore_tokens_total" ["platform", "model", "direction"] from Worker;
    /// State of a circuit: 0 closed, 1 half open, 2 open.
    Gauge CIRCUIT_STATE = "longshore_circuit_state" ["platform", "model"] from Worker;
    /// Circuits that opened.
    Counter CIRCUIT_OPENED = "longshore_circuit_opened_total" ["platform", "model"] from Worker;
    /// Holds of accounts: their provider said until when it refuses calls.
    Counter ACCOUNT_HOLDS = "longshore_account_holds_total" ["account"] from Worker;
    /// Events that the recorder wrote to Postgres.
    Counter EVENTS_RECORDED = "longshore_events_recorded_total" [] from Worker;
    /// Events that Postgres refused; they are kept in Redis.
    Counter EVENTS_REFUSED = "longshore_events_refused_total" [] from Worker;
    /// Commands to Redis that failed and were repeated.
    Counter REDIS_ERRORS = "longshore_redis_errors_total" [] from Worker;
    /// Reloads of the configuration. The result is applied or refused.
    Counter CONFIG_RELOADS = "longshore_config_reloads_total" ["result"] from Both;

    /// Jobs of a queue that no worker has, including those that wait for the turn of their tenant.
    Gauge QUEUE_DEPTH = "longshore_queue_depth" ["queue"] from Leader;
    /// Jobs of a queue that workers have.
    Gauge QUEUE_RUNNING = "longshore_queue_running" ["queue"] from Leader;
    /// Age of the oldest job of a queue that no worker has; 0 if there is none.
    Gauge QUEUE_OLDEST_AGE = "longshore_queue_oldest_age_seconds" ["queue"] from Leader;
    /// Jobs that wait for a time: a delay, or the next attempt.
    Gauge JOBS_SCHEDULED = "longshore_jobs_scheduled" [] from Leader;
    /// Dead letters in Redis.
    Gauge DEAD_LETTERS = "longshore_dead_letters" [] from Leader;
    /// Stream entries with events that are not in Postgres yet.
    Gauge EVENTS_UNRECORDED = "longshore_events_unrecorded" [] from Leader;
    /// Age of the oldest event that is not in Postgres yet; 0 if all are.
    Gauge LEDGER_LAG = "longshore_ledger_lag_seconds" [] from Leader;
    /// Share of a limit that is used or held, from 0 to 1, without limits per minute and the budgets of single tenants and chains.
    Gauge QUOTA_USED = "longshore_quota_used_ratio" ["meter"] from Leader;
    /// Jobs that wait for room under a limit, without the budgets of single tenants and chains.
    Gauge QUOTA_WAITING = "longshore_quota_waiting_jobs" ["meter"] from Leader;
    /// Reviews that wait for a person.
    Gauge REVIEWS_OPEN = "longshore_reviews_open" [] from Leader;
    /// Age of the oldest review that waits for a person; 0 if there is none.
    Gauge REVIEWS_OLDEST_AGE = "longshore_reviews_oldest_age_seconds" [] from Leader;
    /// Alerts of limits; the meter is without tenant and chain, the threshold in percent.
    Counter QUOTA_ALERTS = "longshore_quota_alerts_total" ["meter", "threshold"] from Leader;
    /// Jobs that were released from the lanes of times and limits.
    Counter JOBS_PROMOTED = "longshore_jobs_promoted_total" [] from Leader;
    /// Attempts of dead workers whose result is unknown.
    Counter ATTEMPTS_LOST = "longshore_attempts_lost_total" [] from Leader;
    /// Resources that belonged to no job and were returned.
    Counter ORPHANS = "longshore_orphans_reclaimed_total" [] from Leader;
    /// Ticks of recurring jobs that enqueued a job.
    Counter CRON_TICKS = "longshore_cron_ticks_total" ["cron"] from Leader;
    /// Ticks of recurring jobs that were skipped.
    Counter CRON_TICKS_SKIPPED = "longshore_cron_ticks_skipped_total" ["cron"] from Leader;
    /// Dead letters that a rule of `dead_letters.replay` replayed.
    Counter DEAD_LETTERS_REPLAYED = "longshore_dead_letters_replayed_total" ["rule"] from Leader;
}

#[cfg(test)]
mod reference;

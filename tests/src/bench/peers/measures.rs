//! Throughput, waiting jobs and latency.

use std::time::Duration;

use super::{
    Measure, System,
    table::Measured,
    trial::{Trial, Work},
};
use crate::bench::{
    journal::{Delays, Run},
    machine::Machine,
    rate,
};

pub(super) const ALL: [Measure; 4] = [
    Measure::Noop,
    Measure::Provider,
    Measure::Latency,
    Measure::Recovery,
];

/// Jobs a second in the measure of latency.
pub(super) const RATE: u32 = 100;

/// Warm-up jobs there, which fill connections and caches and let compilers finish.
const WARM_UP: usize = 200;

/// The provider's latency.
pub(super) const LATENCY: Duration = Duration::from_secs(1);

/// The sizes of the measurements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// No-op jobs.
    pub(super) jobs: usize,
    /// Jobs that wait for the provider.
    pub(super) calls: usize,
    /// Jobs whose latency is measured.
    pub(super) steady: usize,
    /// Jobs that run when their worker is killed.
    pub(super) killed: usize,
    /// How long these are waited for.
    pub(super) patience: Duration,
}

impl Sizes {
    pub(super) fn of(quick: bool, jobs: usize, calls: usize) -> Self {
        if quick {
            Self {
                jobs: 1_000,
                calls: 100,
                steady: 200,
                killed: 20,
                patience: Duration::from_secs(45),
            }
        } else {
            Self {
                jobs,
                calls,
                steady: 1_000,
                killed: 200,
                patience: Duration::from_mins(5),
            }
        }
    }
}

/// Jobs that do nothing: queued beforehand, then the workers start.
pub(super) async fn noop(
    machine: &Machine,
    system: &System,
    sizes: &Sizes,
) -> anyhow::Result<Measured> {
    let jobs = match system {
        System::Longshore => sizes.jobs,
        System::Peer { peer, .. } => sizes.jobs.min(peer.most_queued.unwrap_or(sizes.jobs)),
    };
    let mut trial = Trial::start(machine, system, Work::Nothing, jobs).await?;
    trial.enqueue(None).await?;
    trial.start_workers()?;
    trial.until_finished().await?;
    let (began, ended) = trial.span()?;
    let per_second = rate(jobs, Duration::from_nanos(ended - began));
    measured(&trial, vec![Some(per_second)])
}

/// Jobs that wait for a provider: queued beforehand, then the workers start.
pub(super) async fn provider(
    machine: &Machine,
    system: &System,
    sizes: &Sizes,
) -> anyhow::Result<Measured> {
    let work = Work::Wait {
        latency: LATENCY,
        at_once: sizes.calls,
    };
    let mut trial = Trial::start(machine, system, work, sizes.calls).await?;
    trial.enqueue(None).await?;
    trial.start_workers()?;
    trial.until_finished().await?;
    let (began, ended) = trial.span()?;
    let mut wall = Duration::from_nanos(ended - began);
    if let System::Peer { .. } = system {
        // The journal has the end of the first call.
        wall += LATENCY;
    }
    measured(&trial, vec![Some(wall.as_secs_f64())])
}

/// A steady rate into ready, idle workers.
pub(super) async fn latency(
    machine: &Machine,
    system: &System,
    sizes: &Sizes,
) -> anyhow::Result<Measured> {
    let jobs = WARM_UP + sizes.steady;
    let mut trial = Trial::start(machine, system, Work::Nothing, jobs).await?;
    trial.prepare().await?;
    trial.start_workers()?;
    trial.until_idle().await?;
    trial.enqueue(Some(RATE)).await?;
    trial.until_finished().await?;
    let runs = trial.journal.read()?.iter();
    let delays = Delays::of(runs.filter(|run| run.number >= WARM_UP).map(Run::delay))?;
    measured(&trial, vec![Some(delays.p50), Some(delays.p99)])
}

fn measured(trial: &Trial<'_>, mut figures: Vec<Option<f64>>) -> anyhow::Result<Measured> {
    figures.extend(trial.costs()?);
    Ok(Measured {
        figures,
        others: trial.others()?,
    })
}

/// What was measured, for the heading of a table.
pub(super) fn title(measure: Measure, sizes: &Sizes) -> String {
    match measure {
        Measure::Noop => format!("{} jobs that do nothing", sizes.jobs),
        Measure::Provider => format!(
            "{} jobs that wait {} s for a provider",
            sizes.calls,
            LATENCY.as_secs()
        ),
        Measure::Latency => format!("From enqueueing to the start of a job, at {RATE} jobs/s"),
        Measure::Recovery => format!(
            "{} jobs run when their workers are killed (kill -9); new workers start at once",
            sizes.killed
        ),
    }
}

/// The figures of a measure, in order.
pub(super) fn columns(measure: Measure) -> &'static [&'static str] {
    match measure {
        Measure::Noop => &[
            "jobs/s",
            "worker CPU, µs/job",
            "server CPU, µs/job",
            "memory, MiB",
        ],
        Measure::Provider => &[
            "wall, s",
            "worker CPU, µs/job",
            "server CPU, µs/job",
            "memory, MiB",
        ],
        Measure::Latency => &[
            "p50, ms",
            "p99, ms",
            "worker CPU, µs/job",
            "server CPU, µs/job",
            "memory, MiB",
        ],
        Measure::Recovery => &[
            "all ended after, s",
            "jobs missing",
            "jobs ended twice",
            "calls made again",
            "worker CPU, µs/job",
            "memory, MiB",
        ],
    }
}

//! What becomes of running jobs when their workers are killed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::{
    System,
    measures::Sizes,
    table::{Measured, Outcome},
    trial::{Trial, Work},
};
use crate::bench::{figure, journal::nanoseconds, machine::Machine};

/// How long a call takes: longer than the slowest system needs to begin all of them.
const LATENCY: Duration = Duration::from_secs(10);

/// How often the systems are looked at while all wait.
const EVERY: Duration = Duration::from_millis(100);

/// A system whose workers were killed and started again.
struct Killed<'m> {
    trial: Trial<'m>,
    at: u64,
}

/// Kills the workers of one system after the other; then waits for all together, since they only wait.
pub(super) async fn round(
    machine: &Machine,
    order: &[(usize, &System)],
    sizes: &Sizes,
) -> anyhow::Result<Vec<(usize, Outcome)>> {
    let mut outcomes = Vec::new();
    let mut waiting = Vec::new();
    // Journals have the times of peers. Longshore's books are looked at from its kill on, so it is the last one.
    let mut order = order.to_vec();
    order.sort_by_key(|(_, system)| matches!(system, System::Longshore));
    for (at, system) in order {
        match kill(machine, system, sizes).await {
            Ok(killed) => waiting.push((at, killed)),
            Err(error) => outcomes.push((at, Outcome::of(Err(error)))),
        }
    }
    while !waiting.is_empty() {
        let mut still = Vec::new();
        for (at, mut killed) in waiting {
            match killed.look(sizes).await {
                Ok(None) => still.push((at, killed)),
                Ok(Some(measured)) => outcomes.push((at, Outcome::of(Ok(measured)))),
                Err(error) => outcomes.push((at, Outcome::of(Err(error)))),
            }
        }
        waiting = still;
        tokio::time::sleep(EVERY).await;
    }
    Ok(outcomes)
}

/// Lets all jobs begin, kills the workers, and starts them again.
async fn kill<'m>(
    machine: &'m Machine,
    system: &'m System,
    sizes: &Sizes,
) -> anyhow::Result<Killed<'m>> {
    let work = Work::Wait {
        latency: LATENCY,
        at_once: sizes.killed,
    };
    let mut trial = Trial::start(machine, system, work, sizes.killed).await?;
    trial.enqueue(None).await?;
    trial.start_workers()?;
    let began = Instant::now();
    let simulator = trial.simulator.as_ref().context("a provider")?;
    loop {
        let stats = simulator.stats().await?;
        ensure!(
            stats.answered() == 0 && began.elapsed() < Duration::from_mins(1),
            "not all jobs were under way before the first ended: {stats:?}"
        );
        if stats.in_flight >= u64::try_from(sizes.killed)? {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let at = nanoseconds();
    trial.kill_workers()?;
    trial.start_workers()?;
    Ok(Killed { trial, at })
}

impl Killed<'_> {
    /// The result, once all jobs have ended or patience has.
    async fn look(&mut self, sizes: &Sizes) -> anyhow::Result<Option<Measured>> {
        self.trial.expect_workers()?;
        let all = self.trial.finished().await? >= self.trial.jobs;
        let waited = Duration::from_nanos(nanoseconds().saturating_sub(self.at));
        if !all && waited < sizes.patience {
            return Ok(None);
        }
        let (ended, twice) = match self.trial.system {
            System::Longshore => self.trial.completed().await?,
            System::Peer { .. } => self.trial.journal.jobs(),
        };
        let simulator = self.trial.simulator.as_ref().context("a provider")?;
        let calls = simulator.stats().await?.requests;
        let recovered = match self.trial.span() {
            Ok((_, last)) if all => {
                Some(Duration::from_nanos(last.saturating_sub(self.at)).as_secs_f64())
            }
            _ => None,
        };
        let [worker, _servers, memory] = self.trial.costs()?;
        Ok(Some(Measured {
            figures: vec![
                recovered,
                Some(figure(self.trial.jobs.saturating_sub(ended))),
                Some(figure(twice)),
                Some(figure(calls) - figure(self.trial.jobs)),
                worker,
                memory,
            ],
            others: self.trial.others()?,
        }))
    }
}

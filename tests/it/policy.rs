//! Limits, budgets, fairness and fallback under load, as the simulated providers see them.
//!
//! Every test has a short form and a full one: `LONGSHORE_TEST_FULL=1`, and for the races
//! `LONGSHORE_TEST_RUNS=20`. Figures are printed with `--nocapture`.

mod adaptive;
mod circuit;
mod fairness;
mod leaks;
mod outage;
mod race;
mod rpm;

use longshore_protocol::id::JobId;
use longshore_simulator::ProviderStats;
use longshore_tests::stack::Stack;
use redis::AsyncCommands as _;

use crate::{
    machine::{alone, beside_few, print_figures, size},
    simulated::{Model, SimulatedProvider, config},
};

/// What a provider has received so far.
pub(crate) fn seen(stack: &Stack, provider: &str) -> ProviderStats {
    let mut stats = stack.simulator.stats();
    stats.by_provider.remove(provider).unwrap_or_default()
}

/// How many jobs have not ended, by where they are.
#[derive(Debug)]
pub(crate) struct Places {
    /// In queues, including those in flight.
    pub(crate) queued: u64,
    /// Parked in any lane.
    pub(crate) waiting: u64,
    /// In flight.
    pub(crate) begun: u64,
    /// Dead letters.
    pub(crate) dead: u64,
}

impl Places {
    pub(crate) async fn of(stack: &Stack) -> anyhow::Result<Self> {
        let keys = stack.broker.keys();
        let mut connection = stack.connection().await?;
        let mut queued = 0;
        for queue in named(stack, &keys.queue_prefix()).await? {
            queued += connection.xlen::<_, u64>(queue).await?;
        }
        Ok(Self {
            queued,
            waiting: connection.hlen(keys.parked()).await?,
            begun: connection.hlen(keys.inflight()).await?,
            dead: stack.broker.dead_letters().count().await?,
        })
    }

    pub(crate) fn unfinished(&self) -> u64 {
        self.queued + self.waiting
    }
}

/// The keys with this prefix.
async fn named(stack: &Stack, prefix: &str) -> anyhow::Result<Vec<String>> {
    let mut connection = stack.connection().await?;
    Ok(connection.keys(format!("{prefix}*")).await?)
}

/// How many of these jobs have ended, and how many of them succeeded.
pub(crate) async fn ended(stack: &Stack, jobs: &[JobId]) -> anyhow::Result<(usize, usize)> {
    let (mut ended, mut well) = (0, 0);
    for some in jobs.chunks(1000) {
        for outcome in stack
            .broker
            .jobs()
            .outcomes(some)
            .await?
            .into_iter()
            .flatten()
        {
            ended += 1;
            well += usize::from(outcome.success);
        }
    }
    Ok((ended, well))
}

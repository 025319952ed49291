//! Limits, budgets, fairness and fallback under load, as the simulated providers see them.
//!
//! Every test has a short form and a full one: `LONGSHORE_TEST_FULL=1`, and for the races
//! `LONGSHORE_TEST_RUNS=20`. Figures are printed with `--nocapture`.

mod adaptive;
mod circuit;
mod fairness;
mod leaks;
mod outage;
mod queue_shares;
mod race;
mod rpm;

use longshore_protocol::id::{JobId, QueueName};
use longshore_simulator::ProviderStats;
use longshore_tests::stack::Stack;
use redis::AsyncCommands as _;

use crate::{
    machine::{alone, beside_few, print_figures, size},
    simulated::{Model, SimulatedProvider, config_yaml},
};

/// What a provider has received so far.
pub(crate) fn provider_stats(stack: &Stack, provider: &str) -> ProviderStats {
    let mut stats = stack.simulator.stats();
    stats.by_provider.remove(provider).unwrap_or_default()
}

/// How many jobs have not ended, by where they are.
#[derive(Debug)]
pub(crate) struct JobCounts {
    /// In queues, including those in flight.
    pub(crate) queued: u64,
    /// Parked in any lane.
    pub(crate) parked: u64,
    /// In flight.
    pub(crate) in_flight: u64,
    /// Dead letters.
    pub(crate) dead: u64,
}

impl JobCounts {
    /// Counts in one transaction: jobs move while this is read.
    pub(crate) async fn read(stack: &Stack) -> anyhow::Result<Self> {
        let keys = stack.broker.keys();
        let mut queues = keys_with_prefix(stack, &keys.queue_prefix()).await?;
        queues.push(keys.queue(&QueueName::default()));
        queues.push(keys.queue(&QueueName::default().ready()));
        queues.sort();
        queues.dedup();
        let mut pipe = redis::pipe();
        pipe.atomic().hlen(keys.parked()).hlen(keys.inflight());
        for queue in queues {
            pipe.xlen(queue);
        }
        let mut connection = stack.connection().await?;
        let lengths: Vec<u64> = pipe.query_async(&mut connection).await?;
        let [parked, in_flight, queued @ ..] = lengths.as_slice() else {
            anyhow::bail!("{lengths:?}")
        };
        Ok(Self {
            queued: queued.iter().sum(),
            parked: *parked,
            in_flight: *in_flight,
            dead: stack.broker.dead_letters().count().await?,
        })
    }

    pub(crate) fn unfinished(&self) -> u64 {
        self.queued + self.parked
    }
}

/// The keys with this prefix.
async fn keys_with_prefix(stack: &Stack, prefix: &str) -> anyhow::Result<Vec<String>> {
    let mut connection = stack.connection().await?;
    Ok(connection.keys(format!("{prefix}*")).await?)
}

/// How many of these jobs have ended, and how many of them succeeded.
pub(crate) async fn count_ended(stack: &Stack, jobs: &[JobId]) -> anyhow::Result<(usize, usize)> {
    let (mut ended, mut succeeded) = (0, 0);
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
            succeeded += usize::from(outcome.success);
        }
    }
    Ok((ended, succeeded))
}

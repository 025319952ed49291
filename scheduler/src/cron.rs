//! Recurring jobs: applies the configuration's to Redis, and enqueues the ticks that are due.

mod sync;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError, CronFence, LeaderToken, NextTick};
use longshore_config::Config;
use longshore_policy::cron::{RunReason, step};
use longshore_protocol::id::CronName;
use longshore_service::instruments::{CRON_TICKS, CRON_TICKS_SKIPPED};
use longshore_service::live_config::LiveConfig;

/// Recurring jobs that one round considers.
const BATCH: usize = 100;

/// Ticks of one recurring job that one round enqueues: there are many if all missed ticks are to run.
const TICKS_PER_ROUND: usize = 100;

/// The wait after another leader took over, or after a failure of one recurring job.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The state of the recurring jobs under this leader.
#[derive(Default)]
pub(crate) struct Cron {
    /// The token and the configuration of the last synchronisation.
    synced: Option<(LeaderToken, Arc<Config>)>,
    /// When the next tick is due; `None` if there is none.
    due: Option<Instant>,
}

impl Cron {
    /// The time until the next tick; `Duration::MAX` if there is none.
    pub(crate) fn due_in(&self) -> Duration {
        self.due.map_or(Duration::MAX, |due| {
            due.saturating_duration_since(Instant::now())
        })
    }

    /// Enqueues a job for each tick that is due. Applies the configuration first if it changed.
    pub(crate) async fn enqueue_due_ticks(
        &mut self,
        broker: &Broker,
        live: &LiveConfig,
        leader: LeaderToken,
    ) -> Result<(), BrokerError> {
        let wait = self.run(broker, live.current(), leader).await?;
        self.due = wait.map(|wait| Instant::now() + wait);
        Ok(())
    }

    async fn run(
        &mut self,
        broker: &Broker,
        config: Arc<Config>,
        leader: LeaderToken,
    ) -> Result<Option<Duration>, BrokerError> {
        let synced = self
            .synced
            .as_ref()
            .is_some_and(|(token, with)| *token == leader && Arc::ptr_eq(with, &config));
        if !synced {
            if !sync::apply_config(broker, &config, leader).await? {
                return Ok(Some(RETRY_AFTER));
            }
            self.synced = Some((leader, config));
        }
        let (now, next_ticks) = broker.cron().next_ticks(BATCH).await?;
        let mut shortest = None;
        for (name, due) in next_ticks {
            let until_due = (due - now).to_std().unwrap_or_default();
            let wait = if until_due > Duration::ZERO {
                until_due
            } else {
                match enqueue_ticks(broker, leader, &name, due, now).await {
                    // If it changed, the new version may be due.
                    Ok(CronFence::Held | CronFence::Changed) => Duration::ZERO,
                    Ok(CronFence::Deposed) => return Ok(Some(RETRY_AFTER)),
                    // A fault of this recurring job, such as a queue name of the wrong type. The others continue.
                    Err(error @ (BrokerError::Command { .. } | BrokerError::Foreign { .. })) => {
                        tracing::warn!(
                            cron = %name,
                            "recurring job failed: {error}; retrying in {RETRY_AFTER:?}"
                        );
                        RETRY_AFTER
                    }
                    Err(error) => return Err(error),
                }
            };
            shortest = shortest.into_iter().chain([wait]).min();
        }
        Ok(shortest)
    }
}

/// Enqueues the ticks of one recurring job, from `due` to `now`.
async fn enqueue_ticks(
    broker: &Broker,
    leader: LeaderToken,
    name: &CronName,
    mut due: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<CronFence, BrokerError> {
    let Some(record) = broker.cron().record(name).await? else {
        // Someone deleted the record by hand: delete its next tick as well.
        let put = broker
            .cron()
            .put(Some(leader), name, None, None, NextTick::Never);
        return put.await;
    };
    let definition = record.entry()?.definition;
    for _ in 0..TICKS_PER_ROUND {
        let step = step(&definition.timing, definition.missed, due, now);
        let message = step
            .run
            .map(|tick| definition.message(name, RunReason::Tick(tick)));
        let queue = &definition.queue;
        let fence = broker
            .cron()
            .tick(leader, &record, due, &step, queue, message.as_deref())
            .await?;
        if fence != CronFence::Held {
            return Ok(fence);
        }
        report_tick(name, due, step.run, step.skipped);
        match step.next {
            Some(next) if next <= now => due = next,
            _ => break,
        }
    }
    Ok(CronFence::Held)
}

fn report_tick(name: &CronName, due: DateTime<Utc>, run: Option<DateTime<Utc>>, skipped: u64) {
    if let Some(tick) = run {
        CRON_TICKS.add([name.as_str()], 1);
        tracing::debug!(cron = %name, %tick, "recurring job enqueued");
    }
    if skipped > 0 {
        CRON_TICKS_SKIPPED.add([name.as_str()], skipped);
        tracing::warn!(
            cron = %name,
            skipped,
            from = %due,
            "ticks of a recurring job were missed and skipped: no scheduler led when they were due"
        );
    }
}

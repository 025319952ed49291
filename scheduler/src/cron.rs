//! Recurring jobs: the configuration's are kept as it says, and those whose time has come are enqueued.

mod sync;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError, CronFence, LeaderToken, NextTick};
use longshore_config::Config;
use longshore_policy::cron::{Occasion, Step, step};
use longshore_protocol::id::CronName;

/// Recurring jobs that one round looks at.
const MOST: usize = 100;

/// Steps that one round takes with one of them: there are many where all missed ticks are to run.
const STEPS: usize = 100;

/// When to look again where this leader was overtaken, or something is wrong with the jobs.
const LATER: Duration = Duration::from_secs(1);

/// What the leader remembers of the recurring jobs.
#[derive(Default)]
pub(crate) struct Recurring {
    /// Under which token the configuration's were last brought up to date, and with which configuration.
    synced: Option<(LeaderToken, Arc<Config>)>,
}

impl Recurring {
    /// Does what is due; when to look again, if anything ever comes.
    pub(crate) async fn round(
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
            if !sync::sync(broker, &config, leader).await? {
                return Ok(Some(LATER));
            }
            self.synced = Some((leader, config));
        }
        let (now, ticks) = broker.cron().next_ticks(MOST).await?;
        let mut again = None;
        for (name, due) in ticks {
            let wait = (due - now).to_std().unwrap_or_default();
            let wait = if wait > Duration::ZERO {
                wait
            } else {
                match steps(broker, leader, &name, due, now).await {
                    // Of one that changed, another version is there.
                    Ok(CronFence::Held | CronFence::Changed) => Duration::ZERO,
                    Ok(CronFence::Deposed) => return Ok(Some(LATER)),
                    // Of this one, such as a queue's name that stands for something else; the others go on.
                    Err(error @ (BrokerError::Command { .. } | BrokerError::Foreign { .. })) => {
                        tracing::warn!(cron = %name, "the recurring job waits: {error}");
                        LATER
                    }
                    Err(error) => return Err(error),
                }
            };
            again = again.into_iter().chain([wait]).min();
        }
        Ok(again)
    }
}

/// Takes the steps of one whose tick `due` has come.
async fn steps(
    broker: &Broker,
    leader: LeaderToken,
    name: &CronName,
    mut due: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<CronFence, BrokerError> {
    let Some(record) = broker.cron().record(name).await? else {
        // Somebody deleted the record by hand.
        let put = broker
            .cron()
            .put(Some(leader), name, None, None, NextTick::Never);
        return put.await;
    };
    let definition = record.entry()?.definition;
    for _ in 0..STEPS {
        let step = step(&definition.timing, definition.missed, due, now);
        let message = step
            .run
            .map(|tick| definition.message(name, Occasion::Tick(tick)));
        let queue = &definition.queue;
        let fence = broker
            .cron()
            .tick(leader, &record, due, &step, queue, message.as_deref())
            .await?;
        if fence != CronFence::Held {
            return Ok(fence);
        }
        tell(name, due, &step);
        match step.next {
            Some(next) if next <= now => due = next,
            _ => break,
        }
    }
    Ok(CronFence::Held)
}

fn tell(name: &CronName, due: DateTime<Utc>, step: &Step) {
    if let Some(tick) = step.run {
        metrics::counter!("longshore_cron_ticks_total", "cron" => name.to_string()).increment(1);
        tracing::debug!(cron = %name, %tick, "a recurring job is enqueued");
    }
    if step.skipped > 0 {
        metrics::counter!("longshore_cron_ticks_skipped_total", "cron" => name.to_string())
            .increment(step.skipped);
        tracing::warn!(
            cron = %name,
            skipped = step.skipped,
            from = %due,
            "ticks were skipped: nobody led when their time came"
        );
    }
}

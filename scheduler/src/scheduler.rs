//! The duties of the leader, and how often it runs them.

use std::{sync::Arc, time::Duration};

use longshore_broker::{Broker, BrokerError, LeaderToken};
use longshore_ledger::Ledger;
use longshore_protocol::id::WorkerId;
use longshore_service::{
    backoff::{Backoff, Schedule},
    health::HealthState,
    live_config::LiveConfig,
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    cron::Cron,
    dead_letters::{apply_replay_rules, expire_dead_letters},
    dead_workers::DeadWorkers,
    duty::{Background, Leading},
    gauges::publish_gauges,
    lanes::{self, Lanes},
    leader::Leadership,
    limits::follow_limits,
    maintenance::{CancelRequests, prune_ledger, sweep_orphans},
    windows::Windows,
};

/// The shortest pause between two rounds.
const MIN_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause between two rounds: the lease must be renewed.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How often a standby asks whether it leads.
const STANDBY_PAUSE: Duration = Duration::from_millis(500);

/// The name of the loop in the health endpoint, and the time in which it must report progress.
const HEALTH_LOOP: (&str, Duration) = ("scheduler", Duration::from_secs(30));

/// One scheduler of any number.
pub struct Scheduler {
    config: LiveConfig,
    broker: Broker,
    ledger: Ledger,
    health: HealthState,
}

/// The duties of a round. They use Redis alone and take a few milliseconds, so they run one after another.
struct Duties {
    lanes: Lanes,
    cron: Cron,
    dead_workers: DeadWorkers,
    windows: Windows,
    cancel_requests: CancelRequests,
}

impl Duties {
    fn new() -> Self {
        Self {
            lanes: Lanes::scanned_every(secs(5)),
            cron: Cron::default(),
            dead_workers: DeadWorkers::recovered_every(secs(2)),
            windows: Windows::scanned_every(secs(2)),
            cancel_requests: CancelRequests::expired_every(secs(60)),
        }
    }

    async fn run(
        &mut self,
        broker: &Broker,
        live: &LiveConfig,
        leader: LeaderToken,
    ) -> Result<(), BrokerError> {
        self.lanes.release_jobs(broker).await?; // when due or woken, and every 5 s
        self.cron.enqueue_due_ticks(broker, live, leader).await?; // when due
        self.dead_workers.recover(broker, live).await?; // every 2 s
        self.windows.close_and_raise_alerts(broker, live).await?; // every 2 s
        self.cancel_requests.expire(broker).await?; // every minute
        Ok(())
    }

    fn pause(&self) -> Duration {
        if self.lanes.has_more() || self.windows.has_more() {
            return Duration::ZERO;
        }
        let due_in = self.lanes.due_in().min(self.cron.due_in());
        due_in.clamp(MIN_PAUSE, MAX_PAUSE)
    }
}

impl Background {
    /// Starts the duties that run beside the rounds, which must not wait for Postgres or for a scan of many
    /// keys.
    fn start_duties(&self, wake: &Arc<Notify>) -> JoinSet<()> {
        let mut duties = JoinSet::new();
        duties.spawn(lanes::listen_for_wake_ups(self.clone(), wake.clone())); // always
        duties.spawn(follow_limits(self.clone(), secs(1))); // every second
        duties.spawn(apply_replay_rules(self.clone(), secs(1))); // every second
        duties.spawn(publish_gauges(self.clone(), secs(10))); // every 10 s
        duties.spawn(expire_dead_letters(self.clone(), secs(60))); // every minute
        duties.spawn(sweep_orphans(self.clone(), secs(60))); // every minute
        duties.spawn(prune_ledger(self.clone(), secs(600))); // every 10 minutes
        duties
    }
}

impl Scheduler {
    /// A scheduler that does nothing until [`Scheduler::run`].
    pub fn new(config: LiveConfig, broker: Broker, ledger: Ledger, health: HealthState) -> Self {
        Self {
            config,
            broker,
            ledger,
            health,
        }
    }

    /// Leads or stands by until `stop`. Retries when Redis fails.
    pub async fn run(&self, stop: CancellationToken) {
        let (loop_name, stale_after) = HEALTH_LOOP;
        self.health.register(loop_name, stale_after);
        let leading = Leading::default();
        let wake = Arc::new(Notify::new());
        let mut background = Background {
            config: self.config.clone(),
            broker: self.broker.clone(),
            ledger: self.ledger.clone(),
            leading: leading.clone(),
            stop: stop.clone(),
        }
        .start_duties(&wake);

        let mut leadership = Leadership::new(WorkerId::fresh().to_string());
        let mut duties = Duties::new();
        let mut backoff = Backoff::new(Schedule::BACKGROUND_TASK);
        while !stop.is_cancelled() {
            let pause = match self.round(&mut leadership, &leading, &mut duties).await {
                Ok(pause) => {
                    self.health.beat(loop_name);
                    backoff.reset();
                    pause
                }
                Err(error) => {
                    let delay = backoff.next_delay();
                    tracing::warn!("scheduler round failed: {error}; retrying in {delay:?}");
                    self.health.fail(loop_name, error.to_string());
                    delay
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = wake.notified() => {
                    duties.lanes.wake();
                    // At most a hundred rounds a second, however often it is woken.
                    tokio::time::sleep(MIN_PAUSE).await;
                }
                () = stop.cancelled() => {}
            }
        }

        // Another scheduler may lead at once: duties that still run here do no harm.
        leading.set(false);
        leadership.resign(&self.broker).await;
        while let Some(ended) = background.join_next().await {
            if let Err(error) = ended {
                tracing::error!("background duty failed: {error}");
            }
        }
    }

    /// Renews the lease and, if this scheduler leads, runs its duties. Returns the pause before the next
    /// round.
    async fn round(
        &self,
        leadership: &mut Leadership,
        leading: &Leading,
        duties: &mut Duties,
    ) -> Result<Duration, BrokerError> {
        let renewed = leadership.renew(&self.broker).await;
        leading.set(matches!(renewed, Ok(Some(_))));
        let Some(leader) = renewed? else {
            duties.lanes.wake();
            return Ok(STANDBY_PAUSE);
        };
        duties.run(&self.broker, &self.config, leader).await?;
        Ok(duties.pause())
    }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

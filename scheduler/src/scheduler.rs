//! The scheduler's loop: what the leader does, and how often.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use longshore_broker::{Broker, BrokerError};
use longshore_ledger::Ledger;
use longshore_protocol::id::WorkerId;
use longshore_service::{health::HealthState, live_config::LiveConfig};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    alerts::Deliveries,
    cron::Recurring,
    housekeeping::{self, Leads},
    leader::Claim,
    letters, windows,
};

/// The shortest pause between two looks.
const TICK: Duration = Duration::from_millis(10);

/// The longest: the lease has to be renewed.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// How often lanes are looked through though nothing is due in them: should the server's clock be set, or a call
/// to wake be missed, a job is late by no more.
const LANES_EVERY: Duration = Duration::from_secs(5);

/// Jobs that one step promotes: it holds Redis for 1 to 2 ms, and for under 10 ms where Redis has to share its
/// processor.
const PROMOTE: usize = 100;

/// So many steps follow one another, while there is more that is due, before the other duties have their turn.
const IN_A_ROW: usize = 50;

/// Jobs that one step lets go of the lanes of limits.
const LET_GO: usize = 250;

/// How often dead workers are looked for.
const RECOVER_EVERY: Duration = Duration::from_secs(2);

/// How often it is looked for windows that are over or fill up: an alert is late by no more.
const WINDOWS_EVERY: Duration = Duration::from_secs(2);

/// How often requests to cancel are looked through.
const FORGET_EVERY: Duration = Duration::from_mins(1);

/// How often dead letters get their turn.
const LETTERS_EVERY: Duration = Duration::from_secs(1);

/// A request to cancel stands for a week: no job waits that long for its first pull unseen.
const CANCEL_MS: i64 = 7 * 24 * 3600 * 1000;

/// A standby looks this often whether it is to lead.
const STANDBY: Duration = Duration::from_millis(500);

const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// One scheduler among any number.
pub struct Scheduler {
    config: LiveConfig,
    broker: Broker,
    ledger: Ledger,
    health: HealthState,
    called: Arc<Notify>,
    letters: Arc<Notify>,
}

impl Scheduler {
    /// Puts a scheduler together.
    pub fn new(config: LiveConfig, broker: Broker, ledger: Ledger, health: HealthState) -> Self {
        Self {
            config,
            broker,
            ledger,
            health,
            called: Arc::default(),
            letters: Arc::default(),
        }
    }

    /// Leads, or stands by, until `stop`. What goes wrong with Redis is waited out.
    pub async fn run(&self, stop: CancellationToken) {
        let mut claim = Claim::new(WorkerId::fresh().to_string());
        let mut rounds = Rounds::default();
        let mut pause = TICK;
        self.health.register("scheduler", Duration::from_secs(30));
        let listening = tokio::spawn(listen(self.broker.clone(), self.called.clone()));
        let letters = tokio::spawn(letters::keep(
            self.config.clone(),
            self.broker.clone(),
            self.ledger.clone(),
            self.letters.clone(),
        ));
        let keeping = tokio::spawn(housekeeping::keep(
            self.broker.clone(),
            self.ledger.clone(),
            self.config.clone(),
            rounds.leads.clone(),
            stop.clone(),
        ));
        while !stop.is_cancelled() {
            let wait = match self.round(&mut claim, &mut rounds).await {
                Ok(wait) => {
                    self.health.beat("scheduler");
                    pause = TICK;
                    wait
                }
                Err(error) => {
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    tracing::warn!("the scheduler waits: {error}; again in {pause:?}");
                    self.health.fail("scheduler", error.to_string());
                    pause
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // However often it is called, it looks a hundred times a second.
                () = self.called.notified() => {
                    rounds.lanes = None;
                    tokio::time::sleep(TICK).await;
                }
                () = stop.cancelled() => {}
            }
        }
        listening.abort();
        letters.abort();
        rounds.leads.store(false, Ordering::Relaxed);
        // Another leads at once; what is under way here harms nobody.
        claim.resign(&self.broker).await;
        if let Err(error) = keeping.await {
            tracing::error!("the housekeeping did not end well: {error}");
        }
    }

    /// One round of a leader's duties; how long to wait before the next.
    async fn round(&self, claim: &mut Claim, rounds: &mut Rounds) -> Result<Duration, BrokerError> {
        let leads = claim.renew(&self.broker).await;
        rounds
            .leads
            .store(matches!(leads, Ok(Some(_))), Ordering::Relaxed);
        let Some(leader) = leads? else {
            rounds.lanes = None;
            return Ok(STANDBY);
        };
        if rounds.lanes.is_none_or(|at| at <= Instant::now()) {
            rounds.lanes = self.let_go().await?.map(|again| Instant::now() + again);
        }
        let config = self.config.current();
        let tick = rounds.recurring.round(&self.broker, config, leader).await?;
        if due(&mut rounds.recovered, RECOVER_EVERY) {
            self.recover().await?;
        }
        if due(&mut rounds.windows, WINDOWS_EVERY) {
            let config = self.config.current();
            let look = windows::look(&self.broker, &config).await?;
            if look.more {
                rounds.windows = None;
            }
            if look.alerts {
                rounds.deliveries.go_on(&self.broker, &self.config);
            }
        }
        if due(&mut rounds.forgot, FORGET_EVERY) {
            let now = self.broker.server().time_ms().await?;
            self.broker
                .maintenance()
                .remove_cancel_requests(now - CANCEL_MS)
                .await?;
        }
        if due(&mut rounds.letters, LETTERS_EVERY) {
            // Who is still busy with the last turn misses this one.
            self.letters.notify_waiters();
        }
        let (Some(lanes), Some(_)) = (rounds.lanes, rounds.windows) else {
            return Ok(Duration::ZERO);
        };
        let lanes = lanes.saturating_duration_since(Instant::now());
        Ok(tick
            .map_or(lanes, |tick| tick.min(lanes))
            .clamp(TICK, LONGEST_SLEEP))
    }

    /// Lets go of what need not wait any more; when to look again, `None` at once.
    async fn let_go(&self) -> Result<Option<Duration>, BrokerError> {
        let mut gone = self
            .broker
            .lanes()
            .release(LET_GO)
            .await?
            .and(self.broker.lanes().release_resumed(LET_GO).await?);
        let mut more = gone.jobs >= LET_GO;
        for _ in 0..IN_A_ROW {
            let promoted = self.broker.lanes().promote(PROMOTE).await?;
            gone = gone.and(promoted);
            if promoted.jobs < PROMOTE {
                break;
            }
            more = true;
        }
        metrics::counter!("longshore_jobs_promoted_total").increment(gone.jobs as u64);
        let again = gone.again.unwrap_or(LANES_EVERY).min(LANES_EVERY);
        Ok((!more).then_some(again))
    }

    async fn recover(&self) -> Result<(), BrokerError> {
        for queue in &self.broker.queues().registered().await? {
            let recovered = self.broker.workers().recover(queue).await?;
            if recovered.entries > 0 {
                metrics::counter!("longshore_attempts_lost_total").increment(recovered.lost as u64);
                tracing::warn!(
                    %queue,
                    workers = recovered.workers,
                    entries = recovered.entries,
                    lost = recovered.lost,
                    "recovered what dead workers left"
                );
            }
        }
        Ok(())
    }
}

/// Hears when something is due before the scheduler meant to look.
async fn listen(broker: Broker, called: Arc<Notify>) {
    loop {
        match broker.leader().subscribe_wake_ups().await {
            Ok(mut wakes) => {
                // What was called meanwhile was not heard.
                called.notify_one();
                let mut messages = wakes.on_message();
                while messages.next().await.is_some() {
                    called.notify_one();
                }
            }
            Err(error) => tracing::warn!("calls to wake are not heard: {error}"),
        }
        tokio::time::sleep(LONGEST_SLEEP).await;
    }
}

/// When each duty was last done, or is to be done.
#[derive(Default)]
struct Rounds {
    leads: Leads,
    /// When the lanes are looked through next; `None` is at once.
    lanes: Option<Instant>,
    recurring: Recurring,
    recovered: Option<Instant>,
    windows: Option<Instant>,
    deliveries: Deliveries,
    forgot: Option<Instant>,
    letters: Option<Instant>,
}

fn due(last: &mut Option<Instant>, every: Duration) -> bool {
    if last.is_some_and(|last| last.elapsed() < every) {
        return false;
    }
    *last = Some(Instant::now());
    true
}

//! Waits for a chain to end, and says what its steps wait for.

use std::time::{Duration, Instant};

use longshore_broker::BrokerError;
use longshore_client::{ChainReceipt, ChainSubmission, StepState};
use longshore_protocol::clock::local_time;

use super::{
    live::Live,
    reader::{ChainReader, ChainStatus},
};
use crate::{
    error::CommandError,
    waiting::{EXPLAIN_AFTER, Outage, WaitStatus, WorkerCheck, missing_worker, until_interrupted},
    why::{Sampled, Waits, idle_queue},
};

/// The pause between two reads.
const PAUSE: Duration = Duration::from_millis(250);

/// The pause between two looks at what the steps wait for.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How the wait ended.
pub(super) enum WaitEnd {
    Ended(Box<ChainStatus>),
    /// A worker rejected the chain for this reason.
    Refused(String),
    /// Neither Redis nor Postgres knows the chain.
    Unknown,
    TimedOut,
    /// The user pressed Ctrl-C.
    Interrupted,
}

/// Waits for at most `timeout`. `receipt` is that of a chain that a worker may not have read yet.
pub(super) async fn watch_chain(
    reader: &mut ChainReader,
    receipt: Option<ChainReceipt>,
    timeout: Option<Duration>,
) -> Result<WaitEnd, CommandError> {
    let mut watch = Watch {
        reader,
        unread: receipt,
        live: Live::new(),
        outage: Outage::default(),
        explained: false,
        began: Instant::now(),
        looks: Looks::default(),
    };
    if let Some(error) = watch.reader.ledger_error() {
        let warning = format!(
            "Warning: times and costs of steps are unknown; Postgres query failed: {error}"
        );
        watch.live.note(&warning);
    }
    let waited = until_interrupted(Box::pin(watch.run(timeout))).await;
    watch.live.clear();
    waited.unwrap_or(Ok(WaitEnd::Interrupted))
}

struct Watch<'a> {
    reader: &'a mut ChainReader,
    /// The chain's message, until a worker has read it.
    unread: Option<ChainReceipt>,
    live: Live,
    outage: Outage,
    explained: bool,
    began: Instant,
    looks: Looks,
}

/// What is remembered from one look at the waiting steps to the next.
#[derive(Default)]
struct Looks {
    last: Option<Instant>,
    /// Where the next sample begins.
    cursor: u64,
    /// The steps and items that had ended.
    ended: u64,
    workers: WorkerCheck,
}

impl Watch<'_> {
    async fn run(&mut self, timeout: Option<Duration>) -> Result<WaitEnd, CommandError> {
        loop {
            let checked = self.check().await;
            let waited = self.outage.tolerate(checked, |text| self.live.note(text))?;
            if let Some(waited) = waited.flatten() {
                return Ok(waited);
            }
            let left = timeout.map_or(PAUSE, |timeout| {
                timeout.saturating_sub(self.began.elapsed())
            });
            if left.is_zero() {
                return Ok(WaitEnd::TimedOut);
            }
            tokio::time::sleep(PAUSE.min(left)).await;
        }
    }

    async fn check(&mut self) -> Result<Option<WaitEnd>, CommandError> {
        if let Some(waited) = self.check_message().await? {
            return Ok(Some(waited));
        }
        if self.unread.is_some() {
            return Ok(None);
        }
        let Some(chain) = self.reader.read().await? else {
            return Ok(Some(WaitEnd::Unknown));
        };
        self.live.show(&chain);
        if !chain.state().is_final() {
            self.explain(&chain).await;
            return Ok(None);
        }
        let last = self.reader.read_after_end().await?;
        Ok(Some(WaitEnd::Ended(Box::new(last.unwrap_or(chain)))))
    }

    /// Says what the steps wait for, if it is time to look.
    async fn explain(&mut self, chain: &ChainStatus) {
        let is_recent = |last: Instant| last.elapsed() < LOOK_EVERY;
        if self.began.elapsed() < EXPLAIN_AFTER || self.looks.last.is_some_and(is_recent) {
            return;
        }
        self.looks.last = Some(Instant::now());
        // A user that may not read all of this waits without a word; the next read of the chain reports an outage.
        if let Ok(waiting) = self.look(chain).await {
            self.live.tell(waiting);
        }
    }

    async fn look(&mut self, chain: &ChainStatus) -> Result<Option<WaitStatus>, BrokerError> {
        let (broker, id) = (self.reader.client().broker(), self.reader.id());
        let now = local_time();
        let (next, waits) = Waits::sample(broker, id, self.looks.cursor, now).await?;
        self.looks.cursor = next;
        let ended = chain.steps.iter().map(|step| step.ended).sum();
        let has_moved = std::mem::replace(&mut self.looks.ended, ended) != ended;
        let sampled = Sampled {
            noun: "job",
            in_flight: in_flight(chain),
            not_started: 0,
        };
        let status = waits.status(sampled, now);
        if status.is_some() || has_moved {
            return Ok(status);
        }
        match broker.chains().queue(id).await? {
            Some(queue) => idle_queue(broker, &queue, &mut self.looks.workers, "job", now).await,
            None => Ok(None),
        }
    }

    /// Checks whether a worker has read the message.
    async fn check_message(&mut self) -> Result<Option<WaitEnd>, CommandError> {
        let Some(receipt) = &self.unread else {
            return Ok(None);
        };
        let client = self.reader.client();
        match client.chain_submission(receipt).await? {
            ChainSubmission::Refused(reason) => return Ok(Some(WaitEnd::Refused(reason))),
            ChainSubmission::Started => self.unread = None,
            ChainSubmission::Unread => {
                if !self.explained && self.began.elapsed() > EXPLAIN_AFTER {
                    self.explained = true;
                    if let Ok(Some(missing)) = missing_worker(client.broker(), &receipt.queue).await
                    {
                        self.live.note(&format!(
                            "{missing}; the chain waits in the queue. Ctrl-C stops waiting and leaves it there."
                        ));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// The jobs of the steps that run.
fn in_flight(chain: &ChainStatus) -> u64 {
    let running = chain
        .steps
        .iter()
        .filter(|step| step.state == StepState::Running);
    let jobs = running.map(|step| {
        step.items
            .map_or(1, |items| items.saturating_sub(step.ended))
    });
    jobs.sum()
}

//! Collects outcomes as they come.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use longshore::{
    Client, ClientError, JobId, Outcome, QueueName, Receipt,
    client::{Claim, is_passing},
};

use super::{
    bar::{Bar, Tally},
    report::TaskResult,
};
use crate::{commands::submit::presence::nobody, error::CommandError};

/// Outcomes that one command asks for. An outcome holds the whole answer, so not too many.
const CHUNK: usize = 200;

/// Of the tasks that are not done, so many of the first are looked at each time: jobs run about in the order
/// that they were put in. The others have their turn, as many at a time, so that the load on Redis does not
/// grow with the batch.
const WINDOW: usize = 1000;

/// The pause between two looks, from busy to idle.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// After so long without any outcome, it is time to say why there may be none.
const SOON: Duration = Duration::from_secs(2);

/// How often the tasks with ids of their own are asked whether they are jobs at all.
const CLAIMS: Duration = Duration::from_secs(5);

/// What has come of the tasks of a batch.
pub(super) struct Collector<'a> {
    client: &'a Client,
    queue: &'a QueueName,
    receipts: &'a [Receipt],
    results: Vec<Option<TaskResult>>,
    pending: BTreeSet<usize>,
    /// Where the turn of those beyond the window is.
    turn: usize,
    tally: Tally,
    bar: Bar,
    away: bool,
}

impl<'a> Collector<'a> {
    pub(super) fn new(client: &'a Client, queue: &'a QueueName, receipts: &'a [Receipt]) -> Self {
        Self {
            client,
            queue,
            receipts,
            results: receipts.iter().map(|_| None).collect(),
            pending: (0..receipts.len()).collect(),
            turn: 0,
            tally: Tally::default(),
            bar: Bar::new(receipts.len()),
            away: false,
        }
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.bar.clear();
    }

    /// The results, in the order of the tasks.
    pub(super) fn into_results(self) -> Vec<TaskResult> {
        self.results.into_iter().flatten().collect()
    }

    /// Runs until every task is done; nothing that has come is lost when this is dropped.
    pub(super) async fn run(&mut self) -> Result<(), CommandError> {
        let began = Instant::now();
        let mut asked = began;
        let mut explained = false;
        let mut pause = PAUSE.0;
        while !self.pending.is_empty() {
            let look = Instant::now();
            let before = self.pending.len();
            self.patiently_look().await?;
            if asked.elapsed() > CLAIMS {
                self.patiently_claim().await?;
                asked = Instant::now();
            }
            if !explained && began.elapsed() > SOON {
                explained = true;
                self.explain().await;
            }
            pause = if self.pending.len() < before {
                self.bar.show(&self.tally);
                PAUSE.0
            } else {
                (pause * 2).min(PAUSE.1)
            };
            if !self.pending.is_empty() {
                // A look that took long is not followed by the next at once.
                tokio::time::sleep(pause.max(look.elapsed())).await;
            }
        }
        Ok(())
    }

    async fn patiently_look(&mut self) -> Result<(), CommandError> {
        let looked = self.look().await;
        self.patiently(looked)
    }

    async fn patiently_claim(&mut self) -> Result<(), CommandError> {
        let claimed = self.refuse_conflicts().await;
        self.patiently(claimed)
    }

    /// Lets pass what passes, and says so once.
    fn patiently(&mut self, done: Result<(), ClientError>) -> Result<(), CommandError> {
        match done {
            Ok(()) => {
                if self.away {
                    self.away = false;
                    self.bar.note("Redis is back.");
                }
                Ok(())
            }
            Err(ClientError::Broker(error)) if is_passing(&error) => {
                if !self.away {
                    self.away = true;
                    self.bar
                        .note(&format!("{error}. Waiting for it to come back."));
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The tasks to look at now.
    fn due(&mut self) -> Vec<usize> {
        let mut due: Vec<usize> = self.pending.iter().copied().take(WINDOW).collect();
        let Some(last) = due.last() else { return due };
        let beyond = self.turn.max(last + 1);
        let others: Vec<usize> = self.pending.range(beyond..).copied().take(WINDOW).collect();
        // After the last has had its turn, it begins anew.
        self.turn = others.last().map_or(0, |last| last + 1);
        due.extend(others);
        due
    }

    async fn look(&mut self) -> Result<(), ClientError> {
        let due = self.due();
        for chunk in due.chunks(CHUNK) {
            let asked: Vec<(usize, &Receipt)> = chunk
                .iter()
                .filter_map(|index| Some((*index, self.receipts.get(*index)?)))
                .collect();
            let ids: Vec<JobId> = asked
                .iter()
                .map(|(_, receipt)| receipt.id.clone())
                .collect();
            let outcomes = self.client.broker().outcomes(&ids).await?;
            for ((index, receipt), outcome) in asked.into_iter().zip(outcomes) {
                if let Some(outcome) = outcome {
                    self.judge(index, receipt, Some(outcome)).await?;
                }
            }
        }
        Ok(())
    }

    /// An id may be another job's, which may not have ended yet, or so long ago that nobody knows how.
    async fn refuse_conflicts(&mut self) -> Result<(), ClientError> {
        let own: Vec<(usize, &Receipt)> = self
            .pending
            .iter()
            .filter_map(|index| Some((*index, self.receipts.get(*index)?)))
            .filter(|(_, receipt)| receipt.id != JobId::of_place(&receipt.place))
            .take(WINDOW)
            .collect();
        for (index, receipt) in own {
            self.judge(index, receipt, None).await?;
        }
        Ok(())
    }

    async fn judge(
        &mut self,
        index: usize,
        receipt: &Receipt,
        outcome: Option<Outcome>,
    ) -> Result<(), ClientError> {
        let result = match (self.client.claim(receipt).await?, outcome) {
            (Claim::Conflict(reason), _) => TaskResult::refused(index, &receipt.id, reason),
            (Claim::Own | Claim::Repeat(_), Some(outcome)) => TaskResult::of(index, outcome),
            _ => return Ok(()),
        };
        self.tally.done += 1;
        self.tally.failed += u64::from(!result.success);
        self.tally.cost = self.tally.cost + result.cost;
        self.pending.remove(&index);
        if let Some(place) = self.results.get_mut(index) {
            *place = Some(result);
        }
        Ok(())
    }

    /// Says why there may be no outcomes yet. A courtesy: what goes wrong with it is told by the next look.
    async fn explain(&self) {
        if self.tally.done > 0 {
            return;
        }
        if let Ok(Some(nobody)) = nobody(self.client.broker(), self.queue).await {
            self.bar.note(&format!(
                "{nobody}; the jobs wait. Ctrl-C leaves them in the queue."
            ));
        }
    }
}

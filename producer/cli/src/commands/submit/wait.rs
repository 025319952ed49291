//! Waits for the answer of one job.

use std::time::Duration;

use longshore_client::{Client, ClientError, Outcome, Receipt, Submission};

use crate::{
    error::CommandError,
    render::progress::Progress,
    waiting::{EXPLAIN_AFTER, Outage, missing_worker, until_interrupted},
};

/// The longest wait of one call, after the explanation why there may be no answer.
const SLICE: Duration = Duration::from_secs(5);

/// The delay before a message that no worker has read is checked again.
const UNREAD_DELAY: Duration = Duration::from_millis(100);

/// How the wait ended.
pub(super) enum Waited {
    Ended(Box<Outcome>),
    /// The message never becomes a job, for this reason: its id belongs to another job.
    Refused {
        code: String,
        error: String,
    },
    /// The user pressed Ctrl-C.
    Interrupted,
}

pub(super) async fn wait(client: &Client, receipt: &Receipt) -> Result<Waited, CommandError> {
    let mut watch = Watch {
        client,
        receipt,
        spinner: Progress::spinner("{spinner} {msg} {elapsed}", "Waiting for the answer"),
        outage: Outage::default(),
    };
    let waited = until_interrupted(watch.run()).await;
    watch.spinner.clear();
    waited.unwrap_or(Ok(Waited::Interrupted))
}

struct Watch<'a> {
    client: &'a Client,
    receipt: &'a Receipt,
    spinner: Progress,
    outage: Outage,
}

impl Watch<'_> {
    async fn run(&mut self) -> Result<Waited, CommandError> {
        if let Some(waited) = self.wait_slice(EXPLAIN_AFTER).await? {
            return Ok(waited);
        }
        self.explain().await;
        loop {
            if let Some(waited) = self.wait_slice(SLICE).await? {
                return Ok(waited);
            }
        }
    }

    async fn wait_slice(&mut self, slice: Duration) -> Result<Option<Waited>, CommandError> {
        let waited = self.try_wait(slice).await.map_err(CommandError::from);
        let waited = self
            .outage
            .tolerate(waited, |text| self.spinner.note(text))?;
        if waited.is_none() {
            // Some errors return at once.
            tokio::time::sleep(UNREAD_DELAY).await;
        }
        Ok(waited.flatten())
    }

    async fn try_wait(&self, slice: Duration) -> Result<Option<Waited>, ClientError> {
        let outcome = self.client.wait(&self.receipt.id, slice).await?;
        Ok(
            match (self.client.submission(self.receipt).await?, outcome) {
                (Submission::Refused { code, error }, _) => Some(Waited::Refused { code, error }),
                (Submission::Unread, Some(_)) => {
                    tokio::time::sleep(UNREAD_DELAY).await;
                    None
                }
                (_, outcome) => outcome.map(|outcome| Waited::Ended(Box::new(outcome))),
            },
        )
    }

    /// Explains why there may be no answer yet. Ignores errors, because the next slice reports them.
    async fn explain(&self) {
        let id = &self.receipt.id;
        let (broker, queue) = (self.client.broker(), self.client.queue_name());
        if let Ok(Some(missing)) = missing_worker(broker, queue).await {
            self.spinner.note(&format!(
                "{missing}; the job waits. Ctrl-C leaves it in the queue: `longshore jobs show {id}`"
            ));
        }
        if let Ok(Submission::Duplicate(_)) = self.client.submission(self.receipt).await {
            self.spinner.note(&format!(
                "This task was submitted before; waiting for its answer. Answers are kept for an hour; for older ones, run \
                 `longshore jobs show {id}`"
            ));
        }
    }
}

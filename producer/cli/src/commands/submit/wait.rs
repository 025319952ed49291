//! Waits for the answer of one job.

use std::{convert::Infallible, time::Duration};

use longshore_client::{Client, ClientError, Outcome, Receipt, Submission};

use crate::{
    error::CommandError,
    render::progress::Progress,
    waiting::{EXPLAIN_AFTER, Outage, until_interrupted},
    why::JobWatch,
};

/// The longest wait of one call.
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
    let spinner = Progress::spinner("{spinner} {elapsed} {wide_msg}", "Waiting for the answer");
    let mut waiter = Waiter {
        client,
        receipt,
        spinner: &spinner,
        outage: Outage::default(),
    };
    let waited = until_interrupted(Box::pin(async {
        tokio::select! {
            waited = waiter.run() => waited,
            never = tell(client, receipt, &spinner) => match never {},
        }
    }))
    .await;
    spinner.clear();
    waited.unwrap_or(Ok(Waited::Interrupted))
}

/// Says what the job waits for.
async fn tell(client: &Client, receipt: &Receipt, spinner: &Progress) -> Infallible {
    let id = &receipt.id;
    let mut watch = JobWatch::new(client, id, receipt.entry_id.clone());
    tokio::time::sleep(EXPLAIN_AFTER).await;
    // The wait itself reports errors.
    if let Ok(Submission::Duplicate(first)) = client.submission(receipt).await {
        spinner.note(&format!(
            "This task was submitted before; waiting for its answer. Answers are kept for an hour; for older ones, run \
             `longshore jobs show {id}`"
        ));
        if let Some(first) = first {
            watch.follow(first);
        }
    }
    watch.tell(spinner).await
}

struct Waiter<'a> {
    client: &'a Client,
    receipt: &'a Receipt,
    spinner: &'a Progress,
    outage: Outage,
}

impl Waiter<'_> {
    async fn run(&mut self) -> Result<Waited, CommandError> {
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
}

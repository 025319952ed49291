//! Waiting for one answer.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use longshore_client::{
    Client, ClientError, Outcome, QueueName, Receipt,
    client::{Claim, is_passing},
};

use super::presence::nobody;
use crate::{error::CommandError, output};

/// After so long without an answer, it is time to say why there may be none.
const SOON: Duration = Duration::from_secs(2);

/// From then on, how long one look takes at most.
const SLICE: Duration = Duration::from_secs(5);

/// A message that no worker has looked at yet is asked after this often.
const UNREAD: Duration = Duration::from_millis(100);

/// How the waiting ended.
pub(super) enum Waited {
    /// The job has ended.
    Ended(Box<Outcome>),
    /// It never was a job: its id is another's. In words for people.
    Refused(String),
    /// The user has gone.
    Interrupted,
}

/// Waits for as long as it takes.
pub(super) async fn wait(
    client: &Client,
    queue: &QueueName,
    receipt: &Receipt,
) -> Result<Waited, CommandError> {
    let mut watch = Watch {
        client,
        queue,
        receipt,
        spinner: spinner(),
        away: false,
    };
    let waited = tokio::select! {
        waited = watch.run() => waited,
        // If it cannot be heard, the program simply ends with it.
        Ok(()) = tokio::signal::ctrl_c() => Ok(Waited::Interrupted),
    };
    watch.spinner.finish_and_clear();
    waited
}

/// Something that turns, where somebody sees it.
fn spinner() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner().with_message("Waiting for the answer");
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

struct Watch<'a> {
    client: &'a Client,
    queue: &'a QueueName,
    receipt: &'a Receipt,
    spinner: ProgressBar,
    /// Redis did not answer the last time.
    away: bool,
}

impl Watch<'_> {
    async fn run(&mut self) -> Result<Waited, CommandError> {
        if let Some(waited) = self.look(SOON).await? {
            return Ok(waited);
        }
        self.explain().await;
        loop {
            if let Some(waited) = self.look(SLICE).await? {
                return Ok(waited);
            }
        }
    }

    async fn look(&mut self, slice: Duration) -> Result<Option<Waited>, CommandError> {
        match self.try_look(slice).await {
            Ok(waited) => {
                if self.away {
                    self.away = false;
                    self.note("Redis is back.");
                }
                Ok(waited)
            }
            Err(ClientError::Broker(error)) if is_passing(&error) => {
                if !self.away {
                    self.away = true;
                    self.note(&format!("{error}. Waiting for it to come back."));
                }
                // Some errors are there at once; to ask again without a pause would help nobody.
                tokio::time::sleep(UNREAD).await;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn try_look(&self, slice: Duration) -> Result<Option<Waited>, ClientError> {
        let outcome = self.client.wait(&self.receipt.id, slice).await?;
        Ok(match (self.client.claim(self.receipt).await?, outcome) {
            (Claim::Conflict(reason), _) => Some(Waited::Refused(reason)),
            (Claim::Unread, Some(_)) => {
                tokio::time::sleep(UNREAD).await;
                None
            }
            (_, outcome) => outcome.map(|outcome| Waited::Ended(Box::new(outcome))),
        })
    }

    /// Says why there may be no answer yet. It is a courtesy: what goes wrong with it is told by the
    /// next look.
    async fn explain(&self) {
        let id = &self.receipt.id;
        if let Ok(Some(nobody)) = nobody(self.client.broker(), self.queue).await {
            self.note(&format!(
                "{nobody}; the job waits. Ctrl-C leaves it in the queue: `longshore jobs show {id}`"
            ));
        }
        if let Ok(Claim::Repeat(_)) = self.client.claim(self.receipt).await {
            self.note(&format!(
                "This task was submitted before; waiting for its answer. One that came over an hour ago is no longer \
                 here: `longshore jobs show {id}`"
            ));
        }
    }

    fn note(&self, text: &str) {
        self.spinner.suspend(|| output::note(text));
    }
}

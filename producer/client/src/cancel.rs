//! Cancels jobs.

use longshore_protocol::{id::JobId, state::JobState};

use crate::{client::Client, error::ClientError, locate::Location};

/// What became of a request to cancel a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Cancellation {
    /// Requested; where the job was. A running job is dropped at once, any other ends when the next
    /// worker reads it.
    Requested(Location),
    /// The job had ended; its state, if its outcome is still kept.
    AlreadyEnded(Option<JobState>),
    /// The job is a dead letter.
    DeadLetter,
    /// Redis does not know the job; its outcome may be kept no longer.
    NotFound,
}

impl Client {
    /// Requests that a job be cancelled.
    ///
    /// ```no_run
    /// # async fn example(client: longshore_client::Client, id: longshore_client::JobId)
    /// # -> Result<(), longshore_client::ClientError> {
    /// use longshore_client::Cancellation;
    ///
    /// if let Cancellation::Requested(_) = client.cancel(&id).await? {
    ///     println!("{id} will not finish");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn cancel(&self, id: &JobId) -> Result<Cancellation, ClientError> {
        let found = self.locate(id).await?;
        match found.location {
            Location::Ended => {
                let state = found.outcome.map(|outcome| outcome.state);
                return Ok(Cancellation::AlreadyEnded(state));
            }
            Location::Dead => return Ok(Cancellation::DeadLetter),
            // An unknown id must not be marked: the mark would hit a later job of that id.
            Location::Nowhere { complete: true } => return Ok(Cancellation::NotFound),
            _ => {}
        }
        // A job that waits for its tenant's turn is parked under its entry id.
        let parked_id = match (&found.location, &found.checkpoint) {
            (Location::Waiting { .. }, Some(checkpoint)) => &checkpoint.id,
            _ => id,
        };
        if self.broker().jobs().cancel_parked(id, parked_id).await? {
            Ok(Cancellation::Requested(found.location))
        } else {
            Ok(Cancellation::AlreadyEnded(None))
        }
    }
}

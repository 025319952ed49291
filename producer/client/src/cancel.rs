//! Cancels jobs.

use longshore_protocol::{id::JobId, state::JobState};

use crate::{client::Client, error::ClientError, locate::Location};

/// The result of a request to cancel a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Cancellation {
    /// Cancellation was requested; the job was at this location. A running job stops immediately; any
    /// other job ends when the next worker reads it.
    Requested(Location),
    /// The job had already ended, in this state if Redis still has its outcome.
    AlreadyEnded(Option<JobState>),
    /// The job is a dead letter.
    DeadLetter,
    /// The job is not in Redis; its outcome may have expired.
    NotFound,
}

impl Client {
    /// Requests the cancellation of a job.
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
            // An unknown id must not be marked: the mark would cancel a later job with that id.
            Location::Nowhere { complete: true } => return Ok(Cancellation::NotFound),
            _ => {}
        }
        let parked = found.parked_from.as_ref();
        if self.broker().jobs().cancel(id, parked).await? {
            Ok(Cancellation::Requested(found.location))
        } else {
            Ok(Cancellation::AlreadyEnded(None))
        }
    }
}

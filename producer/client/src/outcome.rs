//! Reads outcomes and waits for them.

use std::{pin::pin, time::Duration};

use longshore_protocol::{
    id::{JobId, ReaderName},
    outcome::Outcome,
    reply::ReplyTo,
};
use tokio::time::Instant;

use crate::{
    client::{Client, Receipt},
    error::ClientError,
    submission::Submission,
};

/// Duration of one blocking wait. After each, the stored outcome is read, because another client may have
/// popped the reply, or a broken connection may have lost it.
const SLICE: Duration = Duration::from_secs(5);

/// How long after the end of a wait Redis may stay silent before the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(5);

/// The pause before a call is repeated after a transient error.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The pause between two reads of many outcomes, or of a chain or batch.
pub(crate) const POLL_PAUSE: Duration = Duration::from_millis(250);

/// The pause before a message that no worker has read is looked for again.
const UNREAD_PAUSE: Duration = Duration::from_millis(100);

/// Outcomes read by one call. Small, because an outcome holds the whole answer.
const CHUNK: usize = 200;

impl Client {
    /// The outcome of a job that ended within the last hour, or, if it has neither [`reply`] nor [`keep_result`],
    /// within the last five minutes.
    ///
    /// [`reply`]: crate::Job::reply
    /// [`keep_result`]: crate::Job::keep_result
    pub async fn outcome(&self, job: &JobId) -> Result<Option<Outcome>, ClientError> {
        let found = self.outcomes(std::slice::from_ref(job)).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// The outcomes of jobs, in the order of `jobs`; `None` for a job that has not ended, or whose outcome
    /// is no longer in Redis.
    pub async fn outcomes(&self, jobs: &[JobId]) -> Result<Vec<Option<Outcome>>, ClientError> {
        let mut outcomes = Vec::with_capacity(jobs.len());
        for chunk in jobs.chunks(CHUNK) {
            outcomes.extend(self.broker().jobs().outcomes(chunk).await?);
        }
        Ok(outcomes)
    }

    /// Waits until a job ends; `None` after `timeout`. Fastest for a job with [`reply`]. Tolerates
    /// temporary failures of Redis.
    ///
    /// [`reply`]: crate::Job::reply
    pub async fn wait(
        &self,
        job: &JobId,
        timeout: Duration,
    ) -> Result<Option<Outcome>, ClientError> {
        wait_in_slices(timeout, async |slice| self.wait_slice(job, slice).await).await
    }

    /// Waits until the job of this message ends; `None` after `timeout`. [`Client::wait`] does not tell the messages of
    /// one id apart. If the id belongs to another job, this returns the outcome of the message, whose `error_class` is
    /// `id_conflict`, and not that of the other job.
    pub async fn wait_for(
        &self,
        receipt: &Receipt,
        timeout: Duration,
    ) -> Result<Option<Outcome>, ClientError> {
        wait_in_slices(timeout, async |slice| {
            let outcome = self.wait_slice(&receipt.id, slice).await?;
            match self.submission(receipt).await? {
                Submission::Accepted | Submission::Duplicate(_) => Ok(outcome),
                Submission::Refused { .. } => {
                    self.outcome(&JobId::from_entry(&receipt.entry_id)).await
                }
                Submission::Unread => {
                    tokio::time::sleep(UNREAD_PAUSE.min(slice)).await;
                    Ok(None)
                }
            }
        })
        .await
    }

    /// Takes the reply of a job with [`reply_to`] this reader; `None` after `timeout`. Reads nothing else, so a
    /// Redis user that may only read these replies can wait. A reply is taken once: if the connection breaks while it
    /// comes, it is lost.
    ///
    /// [`reply_to`]: crate::Job::reply_to
    pub async fn take_reply(
        &self,
        reader: &ReaderName,
        job: &JobId,
        timeout: Duration,
    ) -> Result<Option<Outcome>, ClientError> {
        let to = ReplyTo::Reader(reader.clone());
        // Redis rounds less than a millisecond to 0, which means no timeout.
        let least = Duration::from_millis(1);
        wait_in_slices(timeout, async |slice| {
            self.pop_reply(&to, job, slice.max(least)).await
        })
        .await
    }

    /// Waits until all jobs have ended, or until `timeout` has passed. Returns the outcomes in the order
    /// of `jobs`.
    pub async fn wait_all(
        &self,
        jobs: &[JobId],
        timeout: Duration,
    ) -> Result<Vec<Option<Outcome>>, ClientError> {
        let mut outcomes: Vec<Option<Outcome>> = jobs.iter().map(|_| None).collect();
        poll(timeout, async || {
            let open: Vec<JobId> = jobs
                .iter()
                .zip(&outcomes)
                .filter(|(_, outcome)| outcome.is_none())
                .map(|(job, _)| job.clone())
                .collect();
            let mut fresh = self.outcomes(&open).await?.into_iter();
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
                *outcome = fresh.next().flatten();
            }
            Ok(outcomes.iter().all(Option::is_some).then_some(()))
        })
        .await?;
        Ok(outcomes)
    }

    async fn wait_slice(
        &self,
        job: &JobId,
        slice: Duration,
    ) -> Result<Option<Outcome>, ClientError> {
        if let Some(outcome) = self.outcome(job).await? {
            return Ok(Some(outcome));
        }
        // Redis rounds less than a millisecond to 0, which means no timeout.
        if slice < Duration::from_millis(1) {
            return Ok(None);
        }
        self.pop_reply(&ReplyTo::Anyone, job, slice).await
    }

    async fn pop_reply(
        &self,
        to: &ReplyTo,
        job: &JobId,
        wait: Duration,
    ) -> Result<Option<Outcome>, ClientError> {
        let reply = pin!(self.broker().jobs().wait_for_reply(to, job, wait));
        // Silence for too long counts as an empty reply; the next call detects a broken connection.
        Ok(tokio::time::timeout(wait + SILENCE, reply)
            .await
            .ok()
            .transpose()?
            .flatten())
    }
}

/// Calls `wait` with short waits until it yields an outcome or `timeout` has passed. Tolerates transient errors.
async fn wait_in_slices(
    timeout: Duration,
    mut wait: impl AsyncFnMut(Duration) -> Result<Option<Outcome>, ClientError>,
) -> Result<Option<Outcome>, ClientError> {
    // `None`: a timeout too long for the clock, so no end.
    let end = Instant::now().checked_add(timeout);
    loop {
        let left = end.map_or(SLICE, |end| end.saturating_duration_since(Instant::now()));
        match wait(left.min(SLICE)).await {
            Ok(Some(outcome)) => return Ok(Some(outcome)),
            Ok(None) if left.is_zero() => return Ok(None),
            Ok(None) => {}
            Err(error) if error.is_transient() && !left.is_zero() => {
                tokio::time::sleep(RETRY_PAUSE.min(left)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Calls `read` until it yields a value or `timeout` has passed. Tolerates transient errors.
pub(crate) async fn poll<T>(
    timeout: Duration,
    mut read: impl AsyncFnMut() -> Result<Option<T>, ClientError>,
) -> Result<Option<T>, ClientError> {
    let end = Instant::now().checked_add(timeout);
    loop {
        let left = end.map_or(POLL_PAUSE, |end| {
            end.saturating_duration_since(Instant::now())
        });
        match read().await {
            Ok(Some(value)) => return Ok(Some(value)),
            Ok(None) => {}
            Err(error) if error.is_transient() && !left.is_zero() => {}
            Err(error) => return Err(error),
        }
        if left.is_zero() {
            return Ok(None);
        }
        tokio::time::sleep(POLL_PAUSE.min(left)).await;
    }
}

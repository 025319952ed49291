//! Jobs, wherever they are: outcomes, replies, cancel requests, checkpoints.

use std::time::Duration;

use longshore_protocol::{
    checkpoint::Checkpoint,
    id::{EntryId, JobId},
    outcome::Outcome,
    reply::ReplyTo,
};
use redis::AsyncCommands as _;

use crate::{BrokerError, Jobs, scripts};

impl Jobs<'_> {
    /// The outcomes of jobs; `None` for a job that has not ended or whose outcome has expired.
    pub async fn outcomes(self, jobs: &[JobId]) -> Result<Vec<Option<Outcome>>, BrokerError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = jobs
            .iter()
            .map(|job| self.broker.keys().result(job))
            .collect();
        let texts: Vec<Option<String>> = self
            .broker
            .shared()
            .mget(&keys)
            .await
            .map_err(|source| self.broker.failed(source))?;
        texts
            .into_iter()
            .zip(keys)
            .map(|(text, key)| {
                text.map(|text| {
                    serde_json::from_str(&text)
                        .map(|outcome| self.broker.keyring().opened(outcome))
                        .map_err(|error| BrokerError::foreign(key, error))
                })
                .transpose()
            })
            .collect()
    }

    /// A page of the jobs with a stored outcome, after the cursor of the next page (0 = the end).
    pub async fn outcome_page(self, cursor: u64) -> Result<(u64, Vec<JobId>), BrokerError> {
        let prefix = self.broker.keys().result_prefix();
        let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}*"))
            .arg("COUNT")
            .arg(1000)
            .query_async(&mut self.broker.pooled().await?)
            .await
            .map_err(|source| self.broker.failed(source))?;
        let ids = keys
            .iter()
            .filter_map(|key| key.strip_prefix(&prefix))
            .filter_map(|id| JobId::parse(id).ok());
        Ok((next, ids.collect()))
    }

    /// Waits for the reply of a job; `None` if none comes within `wait`.
    pub async fn wait_for_reply(
        self,
        to: &ReplyTo,
        job: &JobId,
        wait: Duration,
    ) -> Result<Option<Outcome>, BrokerError> {
        let key = self.broker.keys().reply(to, job);
        let mut connection = self.broker.dedicated(wait).await?;
        let answer: Option<(String, String)> = connection
            .blpop(&key, wait.as_secs_f64())
            .await
            .map_err(|source| self.broker.failed(source))?;
        answer
            .map(|(_, text)| {
                serde_json::from_str(&text)
                    .map(|outcome| self.broker.keyring().opened(outcome))
                    .map_err(|error| BrokerError::foreign(key, error))
            })
            .transpose()
    }

    /// Requests the cancellation of a job; `false` if it has ended. `parked` is the entry id of a job that is parked
    /// by tenant: its own id is not checked yet.
    pub async fn cancel(self, job: &JobId, parked: Option<&EntryId>) -> Result<bool, BrokerError> {
        let mut call = scripts::CANCEL.key(self.broker.keys().cancelled());
        call.arg(self.broker.keys().prefix())
            .arg(job.as_str())
            .arg(parked.map_or("", EntryId::as_str));
        let answer: String = call
            .invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        parse_cancel_reply(&answer)
    }

    /// Whether the cancellation of a job is requested.
    pub async fn is_cancel_requested(self, job: &JobId) -> Result<bool, BrokerError> {
        let score: Option<f64> = self
            .broker
            .shared()
            .zscore(self.broker.keys().cancelled(), job.as_str())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(score.is_some())
    }

    /// The entry id under which a job with the producer's own id was first enqueued, while it is stored.
    pub async fn first_entry_id(self, job: &JobId) -> Result<Option<EntryId>, BrokerError> {
        let known: Option<String> = self
            .broker
            .shared()
            .get(self.broker.keys().id(job))
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(known.and_then(|known| {
            let (_, entry_id) = known.split_once(' ')?;
            // After an `=` stands how the job ended, see own_ids.lua.
            let entry_id = entry_id.split('=').next()?;
            Some(EntryId::from_stored(entry_id))
        }))
    }

    /// The checkpoints of entries.
    pub async fn checkpoints(
        self,
        entry_ids: &[EntryId],
    ) -> Result<Vec<Option<Checkpoint>>, BrokerError> {
        let checkpoints = self.broker.keys().checkpoints();
        let texts = self
            .broker
            .values_of_entries(checkpoints, entry_ids)
            .await?;
        texts
            .into_iter()
            .map(|text| {
                text.map(|text| {
                    serde_json::from_str(&text)
                        .map(|checkpoint| self.broker.keyring().opened(checkpoint))
                        .map_err(|error| {
                            BrokerError::foreign(self.broker.keys().checkpoints(), error)
                        })
                })
                .transpose()
            })
            .collect()
    }

    /// The entry id of a job that has a checkpoint, among about the first `most` checkpoints; and whether all were
    /// searched.
    pub async fn find_by_checkpoint(
        self,
        job: &JobId,
        most: usize,
    ) -> Result<(Option<EntryId>, bool), BrokerError> {
        // The id is the first field of a checkpoint, and contains no character that JSON escapes.
        let begins = format!("{{\"id\":\"{job}\"");
        let mut connection = self.broker.pooled().await?;
        let (mut cursor, mut seen) = (0_u64, 0);
        loop {
            let (next, rows): (u64, Vec<(String, String)>) = redis::cmd("HSCAN")
                .arg(self.broker.keys().checkpoints())
                .arg(cursor)
                .arg("COUNT")
                .arg(1000)
                .query_async(&mut connection)
                .await
                .map_err(|source| self.broker.failed(source))?;
            seen += rows.len();
            if let Some((entry_id, _)) = rows.iter().find(|(_, text)| text.starts_with(&begins)) {
                return Ok((Some(EntryId::from_stored(entry_id)), true));
            }
            cursor = next;
            if cursor == 0 || seen >= most {
                return Ok((None, cursor == 0));
            }
        }
    }
}

/// Whether the cancellation was requested; `false` if the job has ended.
fn parse_cancel_reply(reply: &str) -> Result<bool, BrokerError> {
    match reply {
        "asked" => Ok(true),
        "ended" => Ok(false),
        other => Err(BrokerError::unexpected_reply("cancel", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::tests::check_words;

    #[test]
    fn every_reply_of_cancel_is_parsed() {
        check_words(
            "cancel",
            &[("asked", true), ("ended", false)],
            parse_cancel_reply,
        );
    }
}

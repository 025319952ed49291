//! One job, wherever it is; enqueueing, outcomes, cancelling.

use std::time::Duration;

use longshore_protocol::{
    checkpoint::Resume,
    id::{JobId, Place},
    outcome::Outcome,
};
use redis::AsyncCommands as _;

use crate::{BrokerError, Jobs, scripts};

impl Jobs<'_> {
    /// The outcomes of jobs, where they have ended.
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
                    serde_json::from_str(&text).map_err(|error| BrokerError::foreign(key, error))
                })
                .transpose()
            })
            .collect()
    }

    /// A page of the jobs whose outcomes are kept, and where the next begins (0: that was all).
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

    /// Waits for the outcome that a job was told to push; `None` when `wait` is over.
    pub async fn wait_for_reply(
        self,
        job: &JobId,
        wait: Duration,
    ) -> Result<Option<Outcome>, BrokerError> {
        let key = self.broker.keys().reply(job);
        let mut connection = self.broker.dedicated().await?;
        let answer: Option<(String, String)> = connection
            .blpop(&key, wait.as_secs_f64())
            .await
            .map_err(|source| self.broker.failed(source))?;
        answer
            .map(|(_, text)| {
                serde_json::from_str(&text).map_err(|error| BrokerError::foreign(key, error))
            })
            .transpose()
    }

    /// Asks for a job to be cancelled; `false` when it has ended already.
    pub async fn cancel(self, job: &JobId) -> Result<bool, BrokerError> {
        self.cancel_parked(job, job).await
    }

    /// The same of a job that waits in a lane under another id: nobody has checked its own yet.
    pub async fn cancel_parked(self, job: &JobId, aside: &JobId) -> Result<bool, BrokerError> {
        let mut call = scripts::CANCEL.key(self.broker.keys().cancelled());
        call.arg(self.broker.keys().prefix())
            .arg(job.as_str())
            .arg(aside.as_str());
        let answer: String = call
            .invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(answer == "asked")
    }

    /// Whether somebody asked for the job to be cancelled.
    pub async fn is_cancel_requested(self, job: &JobId) -> Result<bool, BrokerError> {
        let score: Option<f64> = self
            .broker
            .shared()
            .zscore(self.broker.keys().cancelled(), job.as_str())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(score.is_some())
    }

    /// Where the job of a producer's own id was first put, if that is still known.
    pub async fn first_entry_id(self, job: &JobId) -> Result<Option<Place>, BrokerError> {
        let known: Option<String> = self
            .broker
            .shared()
            .get(self.broker.keys().id(job))
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(known.and_then(|known| {
            known
                .split_once(' ')
                .map(|(_, place)| Place::from_record(place))
        }))
    }

    /// What is remembered of the jobs at places.
    pub async fn checkpoints(self, places: &[Place]) -> Result<Vec<Option<Resume>>, BrokerError> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = places.iter().map(Place::as_str).collect();
        let texts: Vec<Option<String>> = redis::cmd("HMGET")
            .arg(self.broker.keys().checkpoints())
            .arg(&names)
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        texts
            .into_iter()
            .map(|text| {
                text.map(|text| {
                    serde_json::from_str(&text).map_err(|error| {
                        BrokerError::foreign(self.broker.keys().checkpoints(), error)
                    })
                })
                .transpose()
            })
            .collect()
    }

    /// Where a job stands that was begun before or came out of a lane, as far as the first `most`
    /// such jobs tell; and whether those were all.
    pub async fn find_by_checkpoint(
        self,
        job: &JobId,
        most: usize,
    ) -> Result<(Option<Place>, bool), BrokerError> {
        // The id comes first in our own record, and has no character that JSON escapes.
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
            if let Some((place, _)) = rows.iter().find(|(_, text)| text.starts_with(&begins)) {
                return Ok((Some(Place::from_record(place)), true));
            }
            cursor = next;
            if cursor == 0 || seen >= most {
                return Ok((None, cursor == 0));
            }
        }
    }
}

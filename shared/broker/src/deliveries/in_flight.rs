//! Jobs in flight, as Redis stores them; reading them costs the workers nothing.

use std::time::Duration;

use longshore_protocol::{
    event::AttemptRecord,
    id::{AttemptId, EntryId, JobId, QueueName, WorkerId},
    keys::WORKERS_GROUP,
};
use redis::{AsyncCommands as _, RedisResult};
use serde::Serialize;

use crate::{BrokerError, Deliveries, JournaledAttempt};

/// A job in flight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobInFlight {
    pub job_id: JobId,
    /// The entry id.
    #[serde(rename = "place")]
    pub entry_id: EntryId,
    /// Its type; `None` before its first call.
    pub task_type: Option<String>,
    /// The called platform; `None` between two calls.
    pub platform: Option<String>,
    /// The called model.
    pub model: Option<String>,
    /// The attempt in progress.
    pub attempt_id: Option<AttemptId>,
    /// How long ago it was delivered.
    #[serde(skip)]
    pub held_for: Duration,
}

impl Deliveries<'_> {
    /// The jobs that were delivered to a worker from these queues: about `most`.
    pub async fn in_flight(
        self,
        worker: &WorkerId,
        queues: &[QueueName],
        most: usize,
    ) -> Result<Vec<JobInFlight>, BrokerError> {
        let mut delivery: Vec<(EntryId, Duration)> = Vec::new();
        for queue in queues {
            for stream in [queue.ready(), queue.clone()] {
                let left = most.saturating_sub(delivery.len());
                if left == 0 {
                    break;
                }
                delivery.extend(self.delivered_since(worker, &stream, left).await?);
            }
        }
        let entry_ids: Vec<EntryId> = delivery
            .iter()
            .map(|(entry_id, _)| entry_id.clone())
            .collect();
        let journalled = self.journaled(&entry_ids).await?;
        let checkpoints = self.broker.jobs().checkpoints(&entry_ids).await?;
        Ok(delivery
            .into_iter()
            .zip(journalled)
            .zip(checkpoints)
            .map(|(((entry_id, held_for), journalled), checkpoint)| {
                let event = journalled
                    .as_ref()
                    .and_then(|one| one.event_if_lost.parse().ok());
                let call = event.and_then(|event| event.attempt);
                let labels = call.as_ref().and_then(|call| call.labels.as_ref());
                JobInFlight {
                    job_id: labels
                        .map(|labels| labels.job_id.clone())
                        .or(checkpoint.map(|checkpoint| checkpoint.id))
                        .unwrap_or_else(|| JobId::from_entry(&entry_id)),
                    entry_id,
                    task_type: labels.map(|labels| labels.task_type.clone()),
                    platform: call.as_ref().map(|call| call.platform.clone()),
                    model: call.as_ref().map(|call| call.model.clone()),
                    attempt_id: call.as_ref().map(|call| call.attempt_id),
                    held_for,
                }
            })
            .collect())
    }

    async fn delivered_since(
        self,
        worker: &WorkerId,
        stream: &QueueName,
        most: usize,
    ) -> Result<Vec<(EntryId, Duration)>, BrokerError> {
        let found: RedisResult<redis::streams::StreamPendingCountReply> = self
            .broker
            .shared()
            .xpending_consumer_count(
                self.broker.keys().queue(stream),
                WORKERS_GROUP,
                "-",
                "+",
                most,
                worker.as_str(),
            )
            .await;
        let rows = self.broker.if_present(found)?.map(|reply| reply.ids);
        Ok(rows
            .unwrap_or_default()
            .into_iter()
            .map(|row| {
                let since = Duration::from_millis(row.last_delivered_ms as u64);
                (EntryId::new(stream, &row.id), since)
            })
            .collect())
    }

    async fn journaled(
        self,
        entry_ids: &[EntryId],
    ) -> Result<Vec<Option<JournaledAttempt>>, BrokerError> {
        let journal = self.broker.keys().inflight();
        let values = self.broker.values_of_entries(journal, entry_ids).await?;
        Ok(entry_ids
            .iter()
            .zip(values)
            .map(|(entry_id, value)| JournaledAttempt::parse(entry_id.clone(), &value?))
            .collect())
    }

    /// The attempt in progress at an entry, as it is recorded if its worker dies; `None` between two attempts.
    pub async fn attempt_in_progress(
        self,
        entry_id: &EntryId,
    ) -> Result<Option<AttemptRecord>, BrokerError> {
        let value: Option<String> = self
            .broker
            .shared()
            .hget(self.broker.keys().inflight(), entry_id.as_str())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let journaled = value.and_then(|value| JournaledAttempt::parse(entry_id.clone(), &value));
        let event = journaled.and_then(|journaled| journaled.event_if_lost.parse().ok());
        let attempt = event.and_then(|event| event.attempt);
        Ok(attempt.map(|attempt| self.broker.keyring().opened(*attempt)))
    }

    /// The journaled attempt of an entry: its id (`-` between attempts) and its worker.
    pub async fn begun_attempt(
        self,
        entry_id: &EntryId,
    ) -> Result<Option<(String, String)>, BrokerError> {
        let value: Option<String> = self
            .broker
            .shared()
            .hget(self.broker.keys().inflight(), entry_id.as_str())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(value.and_then(|value| {
            let mut words = value.splitn(3, ' ');
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        }))
    }

    /// A page of the journal, after the cursor of the next one (0 = the end).
    pub async fn journal_page(
        self,
        cursor: u64,
    ) -> Result<(u64, Vec<JournaledAttempt>), BrokerError> {
        let (next, rows): (u64, Vec<(String, String)>) = redis::cmd("HSCAN")
            .arg(self.broker.keys().inflight())
            .arg(cursor)
            .arg("COUNT")
            .arg(500)
            .query_async(&mut self.broker.pooled().await?)
            .await
            .map_err(|source| self.broker.failed(source))?;
        let entries = rows
            .into_iter()
            .filter_map(|(entry_id, value)| {
                JournaledAttempt::parse(EntryId::from_stored(&entry_id), &value)
            })
            .collect();
        Ok((next, entries))
    }
}

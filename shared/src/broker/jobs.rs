//! One job, wherever it is; enqueueing, outcomes, cancelling.

use std::time::Duration;

use redis::AsyncCommands as _;

use super::{Broker, BrokerError, scripts};
use crate::{
    envelope::RawMessage,
    id::{JobId, Place, QueueName},
    outcome::Outcome,
    resume::Resume,
};

/// A job that waits in a lane.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The queue that it will go to.
    pub queue: QueueName,
    /// What is remembered of it.
    pub resume: Resume,
    /// When it is due, in ms since the epoch, if it waits for a time.
    pub due_ms: Option<i64>,
    /// Whether it waits for a newer worker.
    pub for_version: bool,
    /// Its message.
    pub message: RawMessage,
}

impl Broker {
    /// Puts one message into a queue; the receipt is its place.
    pub async fn enqueue(&self, queue: &QueueName, message: &RawMessage) -> Result<Place, BrokerError> {
        let mut command = redis::cmd("XADD");
        command.arg(self.keys().queue(queue)).arg("*");
        for (name, value) in &message.fields {
            command.arg(name).arg(value);
        }
        let entry: String = command
            .query_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        Ok(Place::new(queue, &entry))
    }

    /// Puts many JSON messages into a queue in one transaction: all of them, or none.
    pub async fn enqueue_all(&self, queue: &QueueName, jobs: &[String]) -> Result<Vec<Place>, BrokerError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.keys().queue(queue);
        let mut pipe = redis::pipe();
        pipe.atomic();
        for job in jobs {
            pipe.cmd("XADD").arg(&key).arg("*").arg("job").arg(job);
        }
        let entries: Vec<String> = pipe
            .query_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        Ok(entries.iter().map(|entry| Place::new(queue, entry)).collect())
    }

    /// The outcomes of jobs, where they have ended.
    pub async fn outcomes(&self, jobs: &[JobId]) -> Result<Vec<Option<Outcome>>, BrokerError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = jobs.iter().map(|job| self.keys().result(job)).collect();
        let texts: Vec<Option<String>> = self
            .shared()
            .mget(&keys)
            .await
            .map_err(|source| self.failed(source))?;
        texts
            .into_iter()
            .zip(keys)
            .map(|(text, key)| {
                text.map(|text| serde_json::from_str(&text).map_err(|error| Self::foreign(key, error)))
                    .transpose()
            })
            .collect()
    }

    /// Waits for the outcome that a job was told to push; `None` when `wait` is over.
    pub async fn reply(&self, job: &JobId, wait: Duration) -> Result<Option<Outcome>, BrokerError> {
        let key = self.keys().reply(job);
        let mut connection = self.patient().await?;
        let answer: Option<(String, String)> = connection
            .blpop(&key, wait.as_secs_f64())
            .await
            .map_err(|source| self.failed(source))?;
        answer
            .map(|(_, text)| serde_json::from_str(&text).map_err(|error| Self::foreign(key, error)))
            .transpose()
    }

    /// Asks for a job to be cancelled; `false` when it has ended already.
    pub async fn cancel(&self, job: &JobId) -> Result<bool, BrokerError> {
        let mut call = scripts::CANCEL.key(self.keys().cancelled());
        call.arg(self.keys().prefix()).arg(job.as_str());
        let answer: String = call
            .invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        Ok(answer == "asked")
    }

    /// The job, if it waits in a lane.
    pub async fn waiting(&self, job: &JobId) -> Result<Option<Waiting>, BrokerError> {
        let mut call = scripts::PEEK.key(self.keys().lane_jobs());
        call.arg(self.keys().prefix()).arg(job.as_str());
        let record: Option<Vec<Vec<u8>>> = call
            .invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        let Some(record) = record else { return Ok(None) };
        let key = self.keys().lane_jobs();
        let mut parts = record.into_iter();
        let mut text = || String::from_utf8(parts.next().unwrap_or_default()).unwrap_or_default();
        let (queue, resume, time, version) = (text(), text(), text(), text());
        let queue = QueueName::parse(&queue).map_err(|error| Self::foreign(&key, error))?;
        let resume = serde_json::from_str(&resume).map_err(|error| Self::foreign(&key, error))?;
        let mut fields = Vec::new();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            fields.push((name, value));
        }
        Ok(Some(Waiting {
            queue,
            resume,
            due_ms: time.parse::<f64>().ok().map(|ms| {
                #[expect(clippy::cast_possible_truncation, reason = "milliseconds fit for ages")]
                {
                    ms as i64
                }
            }),
            for_version: !version.is_empty(),
            message: RawMessage { fields },
        }))
    }

    /// The message at a place, if it stands in its queue.
    pub async fn standing(&self, place: &Place) -> Result<Option<RawMessage>, BrokerError> {
        let (queue, entry) = place.parts();
        let Ok(queue) = QueueName::parse(queue) else {
            return Ok(None);
        };
        let found: Result<Vec<(String, Vec<(Vec<u8>, Vec<u8>)>)>, _> = self
            .shared()
            .xrange(self.keys().queue(&queue), entry, entry)
            .await;
        match found {
            Ok(rows) => Ok(rows.into_iter().next().map(|(_, fields)| RawMessage { fields })),
            // The place is not of the form that the server gives.
            Err(error) if !error.is_io_error() && !error.is_timeout() => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The begun attempt at a place: its id (`-` between attempts) and its worker.
    pub async fn begun(&self, place: &Place) -> Result<Option<(String, String)>, BrokerError> {
        let value: Option<String> = self
            .shared()
            .hget(self.keys().inflight(), place.as_str())
            .await
            .map_err(|source| self.failed(source))?;
        Ok(value.and_then(|value| {
            let mut words = value.splitn(3, ' ');
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        }))
    }

    /// Where the job of a producer's own id was first put, if that is still known.
    pub async fn place_of(&self, job: &JobId) -> Result<Option<Place>, BrokerError> {
        let known: Option<String> = self
            .shared()
            .get(self.keys().id(job))
            .await
            .map_err(|source| self.failed(source))?;
        Ok(known.and_then(|known| known.split_once(' ').map(|(_, place)| Place::from_record(place))))
    }

    /// Whether somebody asked for the job to be cancelled.
    pub async fn is_cancelled(&self, job: &JobId) -> Result<bool, BrokerError> {
        let score: Option<f64> = self
            .shared()
            .zscore(self.keys().cancelled(), job.as_str())
            .await
            .map_err(|source| self.failed(source))?;
        Ok(score.is_some())
    }
}

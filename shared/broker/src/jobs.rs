//! One job, wherever it is; enqueueing, outcomes, cancelling.

use std::time::Duration;

use longshore_protocol::{
    checkpoint::Resume,
    envelope::RawMessage,
    id::{JobId, Place, QueueName, WorkerId},
    keys::{RETURNED, WORKERS_GROUP},
    outcome::Outcome,
};
use redis::AsyncCommands as _;

use super::{Broker, BrokerError, milliseconds, scripts, workers::is_missing};

/// A job that waits in a lane.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The queue that it will go to.
    pub queue: QueueName,
    /// What is remembered of it.
    pub resume: Resume,
    /// When it is due, in ms since the epoch, if it waits for a time.
    pub due_ms: Option<i64>,
    /// The lane: `time`, `version`, `key:K`, `quota:METER`, `tenant:QUEUE:TENANT`, `paused:type:NAME` or
    /// `paused:provider:A,B`.
    pub lane: String,
    /// Its message.
    pub message: RawMessage,
}

/// A delivered entry of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The entry in the queue's stream.
    pub entry: String,
    /// Who has it; nobody, if it was given back and waits for the next worker.
    pub worker: Option<WorkerId>,
    /// How long ago it was delivered.
    pub since: Duration,
}

/// An entry as Redis gives it: its id, its names and values.
type Row = (String, Vec<(Vec<u8>, Vec<u8>)>);

/// Entries of a queue's stream: their ids, and their messages with our own marks on them.
pub type Entries = Vec<(String, RawMessage)>;

impl Broker {
    /// Puts one message into a queue; the receipt is its place.
    pub async fn enqueue(
        &self,
        queue: &QueueName,
        message: &RawMessage,
    ) -> Result<Place, BrokerError> {
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
    pub async fn enqueue_all(
        &self,
        queue: &QueueName,
        jobs: &[String],
    ) -> Result<Vec<Place>, BrokerError> {
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
        Ok(entries
            .iter()
            .map(|entry| Place::new(queue, entry))
            .collect())
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
                text.map(|text| {
                    serde_json::from_str(&text).map_err(|error| Self::foreign(key, error))
                })
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
        self.cancel_aside(job, job).await
    }

    /// The same of a job that waits in a lane under another id: nobody has checked its own yet.
    pub async fn cancel_aside(&self, job: &JobId, aside: &JobId) -> Result<bool, BrokerError> {
        let mut call = scripts::CANCEL.key(self.keys().cancelled());
        call.arg(self.keys().prefix())
            .arg(job.as_str())
            .arg(aside.as_str());
        let answer: String = call
            .invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        Ok(answer == "asked")
    }

    /// The job, if it waits in a lane.
    pub async fn waiting(&self, job: &JobId) -> Result<Option<Waiting>, BrokerError> {
        let mut call = scripts::PEEK_PARKED.key(self.keys().parked());
        call.arg(self.keys().prefix()).arg(job.as_str());
        let record: Option<Vec<Vec<u8>>> = call
            .invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        let Some(record) = record else {
            return Ok(None);
        };
        let key = self.keys().parked();
        let mut parts = record.into_iter();
        let mut text = || String::from_utf8(parts.next().unwrap_or_default()).unwrap_or_default();
        let (queue, lane, resume, due) = (text(), text(), text(), text());
        let queue = QueueName::parse(&queue).map_err(|error| Self::foreign(&key, error))?;
        let resume = serde_json::from_str(&resume).map_err(|error| Self::foreign(&key, error))?;
        let mut fields = Vec::new();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            fields.push((name, value));
        }
        Ok(Some(Waiting {
            queue,
            resume,
            due_ms: due.parse().ok().map(milliseconds),
            lane,
            message: RawMessage { fields },
        }))
    }

    /// The message at a place, if it stands in its queue.
    pub async fn standing(&self, place: &Place) -> Result<Option<RawMessage>, BrokerError> {
        let (queue, entry) = place.parts();
        let queue = QueueName::from_record(queue);
        let found: Result<Vec<Row>, _> = self
            .shared()
            .xrange(self.keys().queue(&queue), entry, entry)
            .await;
        match found {
            Ok(rows) => Ok(rows
                .into_iter()
                .next()
                .map(|(_, fields)| RawMessage { fields })),
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
        Ok(known.and_then(|known| {
            known
                .split_once(' ')
                .map(|(_, place)| Place::from_record(place))
        }))
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

    /// At most `count` entries of a queue between two stream ids (`-`, `+`, `(ID`), the oldest first
    /// or the newest first.
    pub async fn entries(
        &self,
        queue: &QueueName,
        from: &str,
        to: &str,
        count: usize,
        newest_first: bool,
    ) -> Result<Entries, BrokerError> {
        let (command, first, last) = if newest_first {
            ("XREVRANGE", to, from)
        } else {
            ("XRANGE", from, to)
        };
        let rows: Vec<Row> = redis::cmd(command)
            .arg(self.keys().queue(queue))
            .arg(first)
            .arg(last)
            .arg("COUNT")
            .arg(count)
            // On a connection of its own: messages may be large.
            .query_async(&mut self.pooled().await?)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(rows
            .into_iter()
            .map(|(entry, fields)| (entry, RawMessage { fields }))
            .collect())
    }

    /// At most `count` delivered entries of a queue between two stream ids, the oldest first.
    pub async fn pending(
        &self,
        queue: &QueueName,
        from: &str,
        to: &str,
        count: usize,
    ) -> Result<Vec<Pending>, BrokerError> {
        let found: Result<redis::streams::StreamPendingCountReply, _> = self
            .shared()
            .xpending_count(self.keys().queue(queue), WORKERS_GROUP, from, to, count)
            .await;
        match found {
            Ok(reply) => Ok(reply
                .ids
                .into_iter()
                .map(|row| Pending {
                    entry: row.id,
                    worker: (row.consumer != RETURNED)
                        .then(|| WorkerId::from_record(&row.consumer)),
                    since: Duration::from_millis(row.last_delivered_ms as u64),
                })
                .collect()),
            // The queue or its group is not there (yet): nothing was delivered.
            Err(error) if is_missing(&error) => Ok(Vec::new()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The newest entry of a queue that was ever delivered; what comes after it is new.
    pub async fn last_delivered(&self, queue: &QueueName) -> Result<String, BrokerError> {
        let found: Result<redis::streams::StreamInfoGroupsReply, _> =
            self.shared().xinfo_groups(self.keys().queue(queue)).await;
        match found {
            Ok(reply) => Ok(reply
                .groups
                .into_iter()
                .find(|group| group.name == WORKERS_GROUP)
                .map_or_else(|| "0-0".to_owned(), |group| group.last_delivered_id)),
            Err(error) if is_missing(&error) => Ok("0-0".to_owned()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// What is remembered of the jobs at places.
    pub async fn resumes(&self, places: &[Place]) -> Result<Vec<Option<Resume>>, BrokerError> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = places.iter().map(Place::as_str).collect();
        let texts: Vec<Option<String>> = redis::cmd("HMGET")
            .arg(self.keys().checkpoints())
            .arg(&names)
            .query_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        texts
            .into_iter()
            .map(|text| {
                text.map(|text| {
                    serde_json::from_str(&text)
                        .map_err(|error| Self::foreign(self.keys().checkpoints(), error))
                })
                .transpose()
            })
            .collect()
    }

    /// Where a job stands that was begun before or came out of a lane, as far as the first `most`
    /// such jobs tell; and whether those were all.
    pub async fn moved_to(
        &self,
        job: &JobId,
        most: usize,
    ) -> Result<(Option<Place>, bool), BrokerError> {
        // The id comes first in our own record, and has no character that JSON escapes.
        let begins = format!("{{\"id\":\"{job}\"");
        let mut connection = self.pooled().await?;
        let (mut cursor, mut seen) = (0_u64, 0);
        loop {
            let (next, rows): (u64, Vec<(String, String)>) = redis::cmd("HSCAN")
                .arg(self.keys().checkpoints())
                .arg(cursor)
                .arg("COUNT")
                .arg(1000)
                .query_async(&mut connection)
                .await
                .map_err(|source| self.failed(source))?;
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

    /// At most `most` jobs of each lane, the first to go first.
    pub async fn lane_ids(&self, most: usize) -> Result<Vec<JobId>, BrokerError> {
        let last = isize::try_from(most)
            .unwrap_or(isize::MAX)
            .saturating_sub(1);
        let mut ids: Vec<String> = Vec::new();
        let mut times = vec![self.keys().time_lane(), self.keys().version_lane()];
        let paused = self.paused_lanes().await?;
        let prefix = self.keys().lane_prefix();
        times.extend(paused.iter().map(|name| format!("{prefix}{name}")));
        for lane in times {
            let some: Vec<String> = self
                .shared()
                .zrange(lane, 0, last)
                .await
                .map_err(|source| self.failed(source))?;
            ids.extend(some);
        }
        for prefix in [
            self.keys().key_lane_prefix(),
            self.keys().quota_lane_prefix(),
            self.keys().tenant_lane_prefix(),
        ] {
            for lane in self.scan(&format!("{prefix}*")).await? {
                let some: Vec<String> = self
                    .shared()
                    .lrange(lane, 0, last)
                    .await
                    .map_err(|source| self.failed(source))?;
                ids.extend(some);
            }
        }
        ids.iter()
            .map(|id| JobId::parse(id).map_err(|error| Self::foreign("lane", error)))
            .collect()
    }
}

//! The stream of events, as the recorders read it.

use std::time::Duration;

use longshore_protocol::{event::Event, id::WorkerId, keys::LEDGER_GROUP, serialized::Serialized};
use redis::{
    AsyncCommands as _, Value,
    aio::MultiplexedConnection,
    streams::{StreamInfoStreamReply, StreamReadOptions},
};

use crate::{Broker, BrokerError, Events, LONGEST_READ, scripts};

/// One entry of the stream: the events of one script call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventEntry {
    /// The entry's id, which orders events by time.
    pub id: String,
    /// The JSON of each event.
    pub texts: Vec<String>,
    /// Whether the attempts in it are duplicates: they settled nothing.
    pub duplicate: bool,
}

impl EventEntry {
    /// The size of its events in bytes.
    pub fn size(&self) -> usize {
        self.texts.iter().map(String::len).sum()
    }
}

/// An event that cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEvent {
    /// Its JSON, or the text found instead.
    pub text: String,
    /// Why it cannot be recorded.
    pub reason: String,
}

/// Reads events for one recorder.
pub struct EventStream {
    broker: Broker,
    connection: MultiplexedConnection,
    writer: WorkerId,
}

/// Reads the events from now on, beside the recorders. What they record and remove before it is read is missing, so read
/// without pause.
pub struct EventTail {
    broker: Broker,
    connection: MultiplexedConnection,
    /// The id of the last entry that was read.
    after: String,
}

type Entries = Vec<(String, Vec<(String, String)>)>;

impl Events<'_> {
    /// Appends events that are no part of another step; at most 100.
    pub async fn append(self, events: &[Serialized<Event>]) -> Result<(), BrokerError> {
        let mut call = scripts::APPEND_EVENTS.key(self.broker.keys().events());
        call.arg(self.broker.keys().prefix());
        for event in events {
            call.arg(event.as_str());
        }
        let _count: usize = self.broker.run(&call).await?;
        Ok(())
    }

    /// Creates the consumer group if it does not exist, and opens the stream for one recorder.
    pub async fn stream(self, writer: &WorkerId) -> Result<EventStream, BrokerError> {
        let stream = EventStream {
            broker: self.broker.clone(),
            connection: self.broker.dedicated(LONGEST_READ).await?,
            writer: writer.clone(),
        };
        self.broker
            .create_group(&self.broker.keys().events(), LEDGER_GROUP, None)
            .await?;
        Ok(stream)
    }

    /// The events from now on.
    pub async fn tail(self) -> Result<EventTail, BrokerError> {
        let info: redis::RedisResult<StreamInfoStreamReply> = self
            .broker
            .shared()
            .xinfo_stream(self.broker.keys().events())
            .await;
        let info = self.broker.if_present(info)?;
        Ok(EventTail {
            broker: self.broker.clone(),
            connection: self.broker.dedicated(LONGEST_READ).await?,
            after: info.map_or_else(|| "0-0".to_owned(), |info| info.last_generated_id),
        })
    }

    /// The time of the oldest event that is not recorded, in ms since 1970.
    pub async fn oldest_unrecorded(self) -> Result<Option<i64>, BrokerError> {
        let rows: Vec<(String, Value)> = redis::cmd("XRANGE")
            .arg(self.broker.keys().events())
            .arg("-")
            .arg("+")
            .arg("COUNT")
            .arg(1)
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let first = rows.first().and_then(|(id, _)| id.split_once('-'));
        Ok(first.and_then(|(ms, _)| ms.parse().ok()))
    }

    /// The number of stream entries that are not recorded.
    pub async fn unrecorded_count(self) -> Result<u64, BrokerError> {
        redis::AsyncCommands::xlen(&mut self.broker.shared(), self.broker.keys().events())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// The number of events that Postgres refused.
    pub async fn bad_count(self) -> Result<u64, BrokerError> {
        self.broker
            .shared()
            .xlen(self.broker.keys().bad_events())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Deletes at most `most` events that Postgres refused before `before_ms`; returns how many.
    pub async fn remove_bad(self, before_ms: i64, most: usize) -> Result<usize, BrokerError> {
        let key = self.broker.keys().bad_events();
        let rows: Vec<(String, Value)> = redis::cmd("XRANGE")
            .arg(&key)
            .arg("-")
            .arg(format!("({}", before_ms.max(0)))
            .arg("COUNT")
            .arg(most)
            .query_async(&mut self.broker.pooled().await?)
            .await
            .map_err(|source| self.broker.failed(source))?;
        if rows.is_empty() {
            return Ok(0);
        }
        let ids: Vec<String> = rows.into_iter().map(|(id, _)| id).collect();
        redis::AsyncCommands::xdel(&mut self.broker.shared(), &key, &ids)
            .await
            .map_err(|source| self.broker.failed(source))
    }
}

fn entries(rows: Entries) -> Vec<EventEntry> {
    rows.into_iter()
        .map(|(id, fields)| {
            let mut entry = EventEntry {
                id,
                texts: Vec::new(),
                duplicate: false,
            };
            for (name, value) in fields {
                match name.as_str() {
                    "e" => entry.texts.push(value),
                    "d" => entry.duplicate = true,
                    _ => {}
                }
            }
            entry
        })
        .collect()
}

/// The entries in the reply of a read from the stream of this key.
fn read_entries(reply: Value, key: String) -> Result<Vec<EventEntry>, BrokerError> {
    if reply == Value::Nil {
        return Ok(Vec::new());
    }
    let rows: Vec<(String, Entries)> =
        redis::from_redis_value(reply).map_err(|error| BrokerError::foreign(key, error))?;
    Ok(rows
        .into_iter()
        .flat_map(|(_, rows)| entries(rows))
        .collect())
}

impl EventTail {
    /// Reads at most `count` entries; waits up to `wait` for the first.
    pub async fn read(
        &mut self,
        count: usize,
        wait: Duration,
    ) -> Result<Vec<EventEntry>, BrokerError> {
        let key = self.broker.keys().events();
        let options = StreamReadOptions::default()
            .count(count)
            .block(usize::try_from(wait.as_millis()).unwrap_or(usize::MAX));
        let mut command = redis::cmd("XREAD");
        command
            .arg(&options)
            .arg("STREAMS")
            .arg(&key)
            .arg(&self.after);
        let reply: Value = command
            .query_async(&mut self.connection)
            .await
            .map_err(|source| self.broker.failed(source))?;
        let read = read_entries(reply, key)?;
        if let Some(last) = read.last() {
            self.after.clone_from(&last.id);
        }
        Ok(read)
    }
}

impl EventStream {
    /// Reads at most `count` new entries; waits up to `wait` for the first.
    pub async fn read(
        &mut self,
        count: usize,
        wait: Duration,
    ) -> Result<Vec<EventEntry>, BrokerError> {
        let options = StreamReadOptions::default()
            .group(LEDGER_GROUP, self.writer.as_str())
            .count(count)
            .block(usize::try_from(wait.as_millis()).unwrap_or(usize::MAX));
        let mut command = redis::cmd("XREADGROUP");
        command
            .arg(&options)
            .arg("STREAMS")
            .arg(self.broker.keys().events())
            .arg(">");
        let reply: Value = command
            .query_async(&mut self.connection)
            .await
            .map_err(|source| self.broker.failed(source))?;
        read_entries(reply, self.broker.keys().events())
    }

    /// Claims entries that another recorder read but did not record within `idle`.
    pub async fn claim(
        &mut self,
        count: usize,
        idle: Duration,
    ) -> Result<Vec<EventEntry>, BrokerError> {
        // Not the reply type of the redis crate: its entries are maps, and a field may occur twice here.
        let (_, claimed, _): (String, Entries, Vec<String>) = redis::cmd("XAUTOCLAIM")
            .arg(self.broker.keys().events())
            .arg(LEDGER_GROUP)
            .arg(self.writer.as_str())
            .arg(idle.as_millis().to_string())
            .arg("0-0")
            .arg("COUNT")
            .arg(count)
            .query_async(&mut self.connection)
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(entries(claimed))
    }

    /// Removes recorded entries from the stream; moves events that cannot be recorded to their own stream in the
    /// same transaction.
    pub async fn recorded(&mut self, ids: &[String], bad: &[BadEvent]) -> Result<(), BrokerError> {
        let events = self.broker.keys().events();
        let mut pipe = redis::pipe();
        pipe.atomic();
        for BadEvent { text, reason } in bad {
            pipe.cmd("XADD")
                .arg(self.broker.keys().bad_events())
                .arg("*")
                .arg(&[("e", text), ("reason", reason)])
                .ignore();
        }
        pipe.cmd("XACK")
            .arg(&events)
            .arg(LEDGER_GROUP)
            .arg(ids)
            .ignore()
            .cmd("XDEL")
            .arg(&events)
            .arg(ids)
            .ignore()
            .query_async(&mut self.connection)
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Deletes this recorder's consumer, unless it has entries pending; another recorder claims those.
    pub async fn leave(&mut self) -> Result<(), BrokerError> {
        let pending: redis::streams::StreamPendingCountReply =
            redis::AsyncCommands::xpending_consumer_count(
                &mut self.connection,
                self.broker.keys().events(),
                LEDGER_GROUP,
                "-",
                "+",
                1,
                self.writer.as_str(),
            )
            .await
            .map_err(|source| self.broker.failed(source))?;
        if pending.ids.is_empty() {
            redis::cmd("XGROUP")
                .arg("DELCONSUMER")
                .arg(self.broker.keys().events())
                .arg(LEDGER_GROUP)
                .arg(self.writer.as_str())
                .query_async::<()>(&mut self.connection)
                .await
                .map_err(|source| self.broker.failed(source))?;
        }
        Ok(())
    }
}

//! The stream of facts, as the ledger's writer reads it.

use std::time::Duration;

use longshore_protocol::{id::WorkerId, keys::LEDGER_GROUP};
use redis::{AsyncCommands as _, Value, aio::MultiplexedConnection, streams::StreamReadOptions};

use crate::{Broker, BrokerError, Events};

/// One entry of the stream: what one script did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventEntry {
    /// The entry's id: the place in time of its events.
    pub id: String,
    /// The JSON of each event.
    pub texts: Vec<String>,
    /// Whether the attempts in them settled nothing.
    pub duplicate: bool,
}

impl EventEntry {
    /// Bytes of text.
    pub fn size(&self) -> usize {
        self.texts.iter().map(String::len).sum()
    }
}

/// An event that cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEvent {
    /// Its JSON, or what stands in its place.
    pub text: String,
    /// Why not.
    pub reason: String,
}

/// Reads facts for one writer.
pub struct EventStream {
    broker: Broker,
    connection: MultiplexedConnection,
    writer: WorkerId,
}

type Entries = Vec<(String, Vec<(String, String)>)>;

impl Events<'_> {
    /// Makes the group where it is missing, and a reader.
    pub async fn stream(self, writer: &WorkerId) -> Result<EventStream, BrokerError> {
        let stream = EventStream {
            broker: self.broker.clone(),
            connection: self.broker.dedicated().await?,
            writer: writer.clone(),
        };
        self.broker
            .create_group(&self.broker.keys().events(), LEDGER_GROUP)
            .await?;
        Ok(stream)
    }

    /// When the oldest fact came that is not in the record yet, in ms since the epoch.
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

    /// Entries of the stream that are not in the record yet.
    pub async fn unrecorded_count(self) -> Result<u64, BrokerError> {
        redis::AsyncCommands::xlen(&mut self.broker.shared(), self.broker.keys().events())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Facts that Postgres refused.
    pub async fn bad_count(self) -> Result<u64, BrokerError> {
        self.broker
            .shared()
            .xlen(self.broker.keys().bad_events())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Deletes at most `most` of the facts that Postgres refused before `before_ms`; how many.
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

impl EventStream {
    /// New entries, at most `count`; waits up to `wait` for the first.
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
        if reply == Value::Nil {
            return Ok(Vec::new());
        }
        let rows: Vec<(String, Entries)> = redis::from_redis_value(reply)
            .map_err(|error| BrokerError::foreign(self.broker.keys().events(), error))?;
        Ok(rows
            .into_iter()
            .flat_map(|(_, rows)| entries(rows))
            .collect())
    }

    /// Entries that another writer read but did not record within `idle`.
    pub async fn claim(
        &mut self,
        count: usize,
        idle: Duration,
    ) -> Result<Vec<EventEntry>, BrokerError> {
        // Not as a reply of the library's: its entries are maps, and a field of ours may stand there twice.
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

    /// What is recorded leaves the stream; what cannot be recorded goes, in the same step, to where a person
    /// finds it.
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

    /// A writer that ends leaves no name behind; what it had read, another claims.
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

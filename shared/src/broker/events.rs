//! The stream of facts, as the ledger's writer reads it.

use std::time::Duration;

use redis::{
    Value,
    aio::MultiplexedConnection,
    streams::{StreamAutoClaimOptions, StreamAutoClaimReply, StreamReadOptions},
};

use super::{Broker, BrokerError};
use crate::{id::WorkerId, keys::LEDGER_GROUP};

/// One entry of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventEntry {
    /// The entry's id: the fact's place in time.
    pub id: String,
    /// The event's JSON.
    pub text: String,
    /// Whether the attempt in it settled nothing.
    pub duplicate: bool,
}

/// Reads facts for one writer.
pub struct EventStream {
    broker: Broker,
    connection: MultiplexedConnection,
    writer: WorkerId,
}

type Entries = Vec<(String, Vec<(String, String)>)>;

fn entries(rows: Entries) -> Vec<EventEntry> {
    rows.into_iter()
        .map(|(id, fields)| {
            let mut entry = EventEntry {
                id,
                text: String::new(),
                duplicate: false,
            };
            for (name, value) in fields {
                match name.as_str() {
                    "e" => entry.text = value,
                    "d" => entry.duplicate = true,
                    _ => {}
                }
            }
            entry
        })
        .collect()
}

impl Broker {
    /// Makes the group where it is missing, and a reader.
    pub async fn event_stream(&self, writer: &WorkerId) -> Result<EventStream, BrokerError> {
        let stream = EventStream {
            broker: self.clone(),
            connection: self.patient().await?,
            writer: writer.clone(),
        };
        self.create_group(&self.keys().events(), LEDGER_GROUP)
            .await?;
        Ok(stream)
    }

    /// When the oldest fact came that is not in the record yet, in ms since the epoch.
    pub async fn oldest_unrecorded(&self) -> Result<Option<i64>, BrokerError> {
        let rows: Vec<(String, Value)> = redis::cmd("XRANGE")
            .arg(self.keys().events())
            .arg("-")
            .arg("+")
            .arg("COUNT")
            .arg(1)
            .query_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        let first = rows.first().and_then(|(id, _)| id.split_once('-'));
        Ok(first.and_then(|(ms, _)| ms.parse().ok()))
    }

    /// Facts that are not in the record yet.
    pub async fn unrecorded(&self) -> Result<u64, BrokerError> {
        redis::AsyncCommands::xlen(&mut self.shared(), self.keys().events())
            .await
            .map_err(|source| self.failed(source))
    }
}

impl EventStream {
    /// New facts, at most `count`; waits up to `wait` for the first.
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
            .map_err(|error| Broker::foreign(self.broker.keys().events(), error))?;
        Ok(rows
            .into_iter()
            .flat_map(|(_, rows)| entries(rows))
            .collect())
    }

    /// Facts that another writer read but did not record within `idle`.
    pub async fn claim(
        &mut self,
        count: usize,
        idle: Duration,
    ) -> Result<Vec<EventEntry>, BrokerError> {
        let reply: StreamAutoClaimReply = redis::AsyncCommands::xautoclaim_options(
            &mut self.connection,
            self.broker.keys().events(),
            LEDGER_GROUP,
            self.writer.as_str(),
            u64::try_from(idle.as_millis()).unwrap_or(u64::MAX),
            "0-0",
            StreamAutoClaimOptions::default().count(count),
        )
        .await
        .map_err(|source| self.broker.failed(source))?;
        let rows = reply
            .claimed
            .into_iter()
            .map(|row| {
                let fields = row
                    .map
                    .into_iter()
                    .filter_map(|(name, value)| {
                        redis::from_redis_value(value)
                            .ok()
                            .map(|value| (name, value))
                    })
                    .collect();
                (row.id, fields)
            })
            .collect();
        Ok(entries(rows))
    }

    /// What is recorded leaves the stream.
    pub async fn recorded(&mut self, ids: &[String]) -> Result<(), BrokerError> {
        let events = self.broker.keys().events();
        redis::pipe()
            .atomic()
            .cmd("XACK")
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

    /// A fact that Postgres refuses by itself goes to where a person finds it.
    pub async fn set_aside(&mut self, entry: &EventEntry, reason: &str) -> Result<(), BrokerError> {
        let events = self.broker.keys().events();
        redis::pipe()
            .atomic()
            .cmd("XADD")
            .arg(self.broker.keys().bad_events())
            .arg("*")
            .arg("e")
            .arg(&entry.text)
            .arg("reason")
            .arg(reason)
            .ignore()
            .cmd("XACK")
            .arg(&events)
            .arg(LEDGER_GROUP)
            .arg(&entry.id)
            .ignore()
            .cmd("XDEL")
            .arg(&events)
            .arg(&entry.id)
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

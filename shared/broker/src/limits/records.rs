//! Records of limits: what each counts, and since when. The leading scheduler writes them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use longshore_policy::limits::{LimitRecord, MeterAmount, WindowLimit};

use crate::{BrokerError, Limits, scripts};

/// Windows that one script call corrects; it blocks Redis for less than 10 ms.
const BATCH: usize = 200;

/// The maximum number of meters that one pipeline reads.
const TOGETHER: usize = 1_000;

/// The record of a limit as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLimitRecord {
    text: String,
    pub record: LimitRecord,
}

/// A window of a limit with its owner: see [`CountedCalls::owner`](longshore_policy::limits::CountedCalls::owner).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWindow {
    pub owner: String,
    /// From when on it counts; `None`: from the start, or from when the limit's record says.
    pub since: Option<DateTime<Utc>>,
    /// Whether that is about what the limit counts now, not about what it counted before.
    pub is_current: bool,
}

impl OpenWindow {
    /// From when on it counts what the limit counts now.
    pub fn current_since(&self) -> Option<DateTime<Utc>> {
        self.since.filter(|_| self.is_current)
    }

    /// Whether it has counted calls of something else than the limit counts now. Unless the limit has a record, nothing
    /// says which.
    pub fn counts_others(&self) -> bool {
        self.since.is_some() && !self.is_current
    }
}

/// What the calls that a window did not count used, and what those among them hold that are in flight. Negative where it
/// counted calls that it should not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowCorrection {
    pub used: i64,
    pub held: i64,
}

impl Limits<'_> {
    /// The records of all limits of windows, by limit.
    pub async fn records(self) -> Result<BTreeMap<String, StoredLimitRecord>, BrokerError> {
        let key = self.broker.keys().limits();
        let texts: BTreeMap<String, String> =
            redis::AsyncCommands::hgetall(&mut self.broker.shared(), &key)
                .await
                .map_err(|source| self.broker.failed(source))?;
        texts
            .into_iter()
            .map(|(limit, text)| {
                let json = text.split_once(' ').map_or("", |(_, json)| json);
                let record = serde_json::from_str(json)
                    .map_err(|error| BrokerError::foreign(&key, format!("{limit}: {error}")))?;
                Ok((limit, StoredLimitRecord { text, record }))
            })
            .collect()
    }

    /// The open windows of a limit.
    pub async fn open_windows(
        self,
        limit: &WindowLimit,
        now: DateTime<Utc>,
    ) -> Result<Vec<OpenWindow>, BrokerError> {
        let start = limit.window_start(now).timestamp_millis();
        let definition = limit.definition.id().to_string();
        let owners = self.owners(limit).await?;
        let mut found = Vec::new();
        for some in owners.chunks(TOGETHER) {
            let mut pipe = redis::pipe();
            for owner in some {
                pipe.cmd("HMGET")
                    .arg(self.broker.keys().quota(&limit.meter_of(owner)))
                    .arg(&["w", "since", "since_of"]);
            }
            let windows: Vec<(Option<i64>, Option<i64>, Option<String>)> = pipe
                .query_async(&mut self.broker.shared())
                .await
                .map_err(|source| self.broker.failed(source))?;
            for (owner, (window, since, since_of)) in some.iter().zip(windows) {
                if window == Some(start) {
                    found.push(OpenWindow {
                        owner: owner.clone(),
                        since: since.and_then(DateTime::from_timestamp_millis),
                        is_current: since_of.is_none_or(|of| of == definition),
                    });
                }
            }
        }
        Ok(found)
    }

    /// The owners that a limit's meters may have.
    async fn owners(self, limit: &WindowLimit) -> Result<Vec<String>, BrokerError> {
        if !limit.definition.calls.is_of_each() {
            return Ok(vec![String::new()]);
        }
        let prefix = self.broker.keys().quota(&limit.meter_of(""));
        let keys = self.broker.scan(&format!("{prefix}*")).await?;
        let owners = keys.iter().filter_map(|key| key.strip_prefix(&prefix));
        Ok(owners.map(str::to_owned).collect())
    }

    /// Corrects windows of a limit and, with the last of them, replaces its record; repeated corrections replace each
    /// other. Returns `false` if another scheduler has changed the record.
    pub async fn correct_windows(
        self,
        limit: &str,
        read: Option<&StoredLimitRecord>,
        record: &LimitRecord,
        windows: &[(MeterAmount, WindowCorrection)],
    ) -> Result<bool, BrokerError> {
        let read = read.map_or("", |read| &read.text);
        let id = record
            .definition_id()
            .map_or_else(|| "-".to_owned(), |id| id.to_string());
        let json = serde_json::to_string(record)
            .map_err(|error| BrokerError::foreign(self.broker.keys().limits(), error))?;
        let record = format!("{id} {json}");
        let last = windows.len().saturating_sub(1) / BATCH;
        let mut batches = windows.chunks(BATCH);
        for at in 0..=last {
            let record = if at == last { record.as_str() } else { "" };
            let mut call = scripts::CORRECT_WINDOWS.key(self.broker.keys().limits());
            call.arg(self.broker.keys().prefix())
                .arg(limit)
                .arg(read)
                .arg(record);
            for (amount, correction) in batches.next().unwrap_or_default() {
                call.arg(amount.to_json().to_string())
                    .arg(correction.used)
                    .arg(correction.held);
            }
            let done: bool = self.broker.run(&call).await?;
            if !done {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

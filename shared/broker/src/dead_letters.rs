//! Dead letters: list, edit, remove, replay.

mod replay;

use std::{cmp::Reverse, fmt};

use longshore_protocol::{
    dead_letter::{DeadLetter, DeadLetterCursor, DeadLetterQuery, StoredDeadLetter},
    event::DeadLetterRecord,
    id::{EntryId, JobId},
};
use redis::AsyncCommands as _;

pub use self::replay::{BulkProgress, BulkReplay};
use crate::{BrokerError, DeadLetters, milliseconds, scripts};

/// The maximum number of dead letters that one script call scans; it blocks Redis for well under 10 ms.
const MOST_SCANNED: usize = 1000;

/// The bytes of dead letters after which a scan stops: one may have megabytes.
const MOST_BYTES: usize = 4 << 20;

/// A page of the dead letters that match, in the requested order.
#[derive(Debug)]
pub struct DeadLetterPage<T> {
    /// The matches.
    pub found: Vec<T>,
    /// The entry ids of dead letters that cannot be parsed; somebody has changed them by hand.
    pub unreadable: Vec<String>,
    /// How many were scanned.
    pub scanned: usize,
    /// Where the next page starts; `None` at the end.
    pub next: Option<DeadLetterCursor>,
}

impl DeadLetterPage<(String, f64, String)> {
    fn read<T>(
        self,
        parse: impl Fn(&str, f64, String) -> Result<T, BrokerError>,
    ) -> DeadLetterPage<T> {
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        for (entry_id, died, text) in self.found {
            match parse(&entry_id, died, text) {
                Ok(dead_letter) => found.push(dead_letter),
                Err(error) => {
                    tracing::warn!("{error}");
                    unreadable.push(entry_id);
                }
            }
        }
        DeadLetterPage {
            found,
            unreadable,
            scanned: self.scanned,
            next: self.next,
        }
    }
}

impl DeadLetters<'_> {
    /// The number of dead letters.
    pub async fn count(self) -> Result<u64, BrokerError> {
        self.broker
            .shared()
            .zcard(self.broker.keys().dead())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// The number of dead letters from before this time (ms since 1970).
    pub async fn count_before(self, time_ms: i64) -> Result<u64, BrokerError> {
        self.broker
            .shared()
            .zcount(self.broker.keys().dead(), "-inf", format!("({time_ms}"))
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// The records of at most `most` dead letters that match, each with the time of its death (ms since 1970). A
    /// page may hold fewer, or none, and not be the last: one scan is short, however many and however large they are.
    pub async fn record_page(
        self,
        query: &DeadLetterQuery,
        most: usize,
    ) -> Result<DeadLetterPage<(i64, DeadLetterRecord)>, BrokerError> {
        let slice = self.scan_page(query, most, "record").await?;
        Ok(slice.read(|entry_id, died, text| {
            let record =
                serde_json::from_str(&text).map_err(|error| self.malformed(entry_id, error))?;
            Ok((milliseconds(died), self.broker.keyring().opened(record)))
        }))
    }

    /// Like [`record_page`](Self::record_page), with the whole dead letters.
    pub async fn page(
        self,
        query: &DeadLetterQuery,
        most: usize,
    ) -> Result<DeadLetterPage<StoredDeadLetter>, BrokerError> {
        let slice = self.scan_page(query, most, "letter").await?;
        Ok(slice.read(|entry_id, died, text| self.parse(entry_id, died, text)))
    }

    async fn scan_page(
        self,
        query: &DeadLetterQuery,
        most: usize,
        what: &str,
    ) -> Result<DeadLetterPage<(String, f64, String)>, BrokerError> {
        let (died, entry_id) = query.after.as_ref().map_or_else(Default::default, |after| {
            (after.died_ms.to_string(), after.entry_id.to_string())
        });
        let mut call = scripts::SCAN_DEAD_LETTERS.key(self.broker.keys().dead());
        call.arg(self.broker.keys().prefix())
            .arg(query.order.as_str())
            .arg(*query.span.start())
            .arg(*query.span.end())
            .arg(died)
            .arg(entry_id)
            .arg(MOST_SCANNED)
            .arg(most)
            .arg(MOST_BYTES)
            .arg(what)
            .arg(query.filter.parts().to_string());
        let mut answer: std::vec::IntoIter<redis::Value> = call
            .invoke_async::<Vec<redis::Value>>(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?
            .into_iter();
        let mut texts = || -> Result<Option<String>, BrokerError> {
            let read = answer.next().map(redis::from_redis_value).transpose();
            read.map_err(|error| BrokerError::foreign(self.broker.keys().dead_jobs(), error))
        };
        let unexpected = |part: &str| BrokerError::unexpected_reply("scan_dead_letters", part);
        let scanned = texts()?.unwrap_or_default();
        let scanned = scanned.parse().map_err(|_| unexpected(&scanned))?;
        let next = match (texts()?, texts()?) {
            (Some(died), Some(entry_id)) => self.cursor(&died, &entry_id)?,
            _ => None,
        };
        let mut found = Vec::new();
        while let (Some(entry_id), Some(died), Some(text)) = (texts()?, texts()?, texts()?) {
            let died = died.parse().map_err(|_| unexpected(&died))?;
            found.push((entry_id, died, text));
        }
        Ok(DeadLetterPage {
            found,
            unreadable: Vec::new(),
            scanned,
            next,
        })
    }

    fn cursor(self, died: &str, entry_id: &str) -> Result<Option<DeadLetterCursor>, BrokerError> {
        if died.is_empty() {
            return Ok(None);
        }
        let foreign = |error: String| {
            BrokerError::foreign(format!("{} {entry_id}", self.broker.keys().dead()), error)
        };
        Ok(Some(DeadLetterCursor {
            died_ms: died
                .parse()
                .map(milliseconds)
                .map_err(|_| foreign(format!("`{died}` is no time")))?,
            // Not parsed: a page must not fail because of one id.
            entry_id: EntryId::from_stored(entry_id),
        }))
    }

    /// The first of [`find`](Self::find).
    pub async fn newest(self, id: &str) -> Result<Option<StoredDeadLetter>, BrokerError> {
        Ok(self.find(id).await?.into_iter().next())
    }

    /// Finds dead letters by job id, the newest first. If none has this job id, finds the one with this entry id.
    pub async fn find(self, id: &str) -> Result<Vec<StoredDeadLetter>, BrokerError> {
        let index = self.broker.keys().dead_ids();
        let mut entry_ids = self
            .broker
            .indexed_entries(index, &JobId::from_stored(id))
            .await?;
        if entry_ids.is_empty() {
            entry_ids.push(EntryId::from_stored(id));
        }
        let mut found = Vec::new();
        for entry_id in &entry_ids {
            found.extend(self.get(entry_id).await?);
        }
        found.sort_by_key(|(died_ms, ..)| Reverse(*died_ms));
        Ok(found)
    }

    async fn get(self, entry_id: &EntryId) -> Result<Option<StoredDeadLetter>, BrokerError> {
        let (died, text): (Option<f64>, Option<String>) = redis::pipe()
            .zscore(self.broker.keys().dead(), entry_id.as_str())
            .hget(self.broker.keys().dead_jobs(), entry_id.as_str())
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let (Some(died), Some(text)) = (died, text) else {
            return Ok(None);
        };
        self.parse(entry_id.as_str(), died, text).map(Some)
    }

    fn parse(
        self,
        entry_id: &str,
        died: f64,
        text: String,
    ) -> Result<StoredDeadLetter, BrokerError> {
        let letter: DeadLetter =
            serde_json::from_str(&text).map_err(|error| self.malformed(entry_id, error))?;
        if letter.record.entry_id.as_str() != entry_id {
            return Err(self.malformed(
                entry_id,
                format!("its `place` is {}", letter.record.entry_id),
            ));
        }
        Ok((
            milliseconds(died),
            self.broker.keyring().opened(letter),
            text,
        ))
    }

    fn malformed(self, entry_id: &str, error: impl fmt::Display) -> BrokerError {
        let key = self.broker.keys().dead_jobs();
        BrokerError::foreign(format!("{key} {entry_id}"), error)
    }

    /// Replaces a dead letter; `false` if it has changed since it was read.
    pub async fn replace(
        self,
        entry_id: &EntryId,
        before: &str,
        after: &str,
    ) -> Result<bool, BrokerError> {
        let mut call = scripts::EDIT_DEAD_LETTER.key(self.broker.keys().dead_jobs());
        call.arg(self.broker.keys().prefix())
            .arg(entry_id.as_str())
            .arg(before)
            .arg(after);
        call.invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Stores dead letters that an earlier version stored by job id by entry id, a thousand at a time; returns how
    /// many.
    pub async fn rekey(self) -> Result<usize, BrokerError> {
        let mut call = scripts::REKEY_DEAD_LETTERS.key(self.broker.keys().dead());
        call.arg(self.broker.keys().prefix()).arg(MOST_SCANNED);
        self.broker.run(&call).await
    }

    /// Removes archived dead letters; returns how many still existed.
    pub async fn remove(self, letters: &[StoredDeadLetter]) -> Result<usize, BrokerError> {
        if letters.is_empty() {
            return Ok(0);
        }
        let mut call = scripts::REMOVE_DEAD_LETTERS.key(self.broker.keys().dead());
        call.arg(self.broker.keys().prefix());
        for (died_ms, letter, _) in letters {
            call.arg(letter.record.entry_id.as_str())
                .arg(letter.record.id.as_str())
                .arg(*died_ms);
        }
        call.invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))
    }
}

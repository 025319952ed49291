//! Dead letters: list, edit, remove, replay.

mod replay;

use longshore_protocol::{
    dead_letter::{DeadLetterCursor, DeadLetterQuery, StoredDeadLetter},
    event::DeadLetterRecord,
    id::JobId,
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
    /// The ids of dead letters that cannot be parsed; somebody has changed them by hand.
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
        for (id, died, text) in self.found {
            match parse(&id, died, text) {
                Ok(dead_letter) => found.push(dead_letter),
                Err(error) => {
                    tracing::warn!("{error}");
                    unreadable.push(id);
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
        Ok(slice.read(|id, died, text| {
            let record = serde_json::from_str(&text).map_err(|error| self.malformed(id, error))?;
            Ok((milliseconds(died), record))
        }))
    }

    /// Like [`record_page`](Self::record_page), with the whole dead letters.
    pub async fn page(
        self,
        query: &DeadLetterQuery,
        most: usize,
    ) -> Result<DeadLetterPage<StoredDeadLetter>, BrokerError> {
        let slice = self.scan_page(query, most, "letter").await?;
        Ok(slice.read(|id, died, text| self.parse_letter(id, died, text)))
    }

    async fn scan_page(
        self,
        query: &DeadLetterQuery,
        most: usize,
        what: &str,
    ) -> Result<DeadLetterPage<(String, f64, String)>, BrokerError> {
        let (died, id) = query.after.as_ref().map_or_else(Default::default, |after| {
            (after.died_ms.to_string(), after.id.to_string())
        });
        let mut call = scripts::SCAN_DEAD_LETTERS.key(self.broker.keys().dead());
        call.arg(self.broker.keys().prefix())
            .arg(query.order.as_str())
            .arg(*query.span.start())
            .arg(*query.span.end())
            .arg(died)
            .arg(id)
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
            (Some(died), Some(id)) => self.cursor(&died, &id)?,
            _ => None,
        };
        let mut found = Vec::new();
        while let (Some(id), Some(died), Some(text)) = (texts()?, texts()?, texts()?) {
            let died = died.parse().map_err(|_| unexpected(&died))?;
            found.push((id, died, text));
        }
        Ok(DeadLetterPage {
            found,
            unreadable: Vec::new(),
            scanned,
            next,
        })
    }

    fn cursor(self, died: &str, id: &str) -> Result<Option<DeadLetterCursor>, BrokerError> {
        if died.is_empty() {
            return Ok(None);
        }
        let foreign = |error: String| {
            BrokerError::foreign(format!("{} {id}", self.broker.keys().dead()), error)
        };
        Ok(Some(DeadLetterCursor {
            died_ms: died
                .parse()
                .map(milliseconds)
                .map_err(|_| foreign(format!("`{died}` is no time")))?,
            // Not parsed: a page must not fail because of one id.
            id: JobId::from_stored(id),
        }))
    }

    /// One dead letter, with the time of its death (ms since 1970) and its JSON.
    pub async fn get(self, id: &str) -> Result<Option<StoredDeadLetter>, BrokerError> {
        let (died, text): (Option<f64>, Option<String>) = redis::pipe()
            .zscore(self.broker.keys().dead(), id)
            .hget(self.broker.keys().dead_jobs(), id)
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let (Some(died), Some(text)) = (died, text) else {
            return Ok(None);
        };
        self.parse_letter(id, died, text).map(Some)
    }

    fn parse_letter(
        self,
        id: &str,
        died: f64,
        text: String,
    ) -> Result<StoredDeadLetter, BrokerError> {
        let letter = serde_json::from_str(&text).map_err(|error| self.malformed(id, error))?;
        Ok((milliseconds(died), letter, text))
    }

    fn malformed(self, id: &str, error: serde_json::Error) -> BrokerError {
        BrokerError::foreign(format!("{} {id}", self.broker.keys().dead_jobs()), error)
    }

    /// Replaces a dead letter; `false` if it has changed since it was read.
    pub async fn replace(self, id: &JobId, before: &str, after: &str) -> Result<bool, BrokerError> {
        let mut call = scripts::EDIT_DEAD_LETTER.key(self.broker.keys().dead_jobs());
        call.arg(self.broker.keys().prefix())
            .arg(id.as_str())
            .arg(before)
            .arg(after);
        call.invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Removes archived dead letters (id and time of death); returns how many still existed.
    pub async fn remove(self, letters: &[(JobId, i64)]) -> Result<usize, BrokerError> {
        if letters.is_empty() {
            return Ok(0);
        }
        let mut call = scripts::REMOVE_DEAD_LETTERS.key(self.broker.keys().dead());
        call.arg(self.broker.keys().prefix());
        for (id, died) in letters {
            call.arg(id.as_str()).arg(*died);
        }
        call.invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))
    }
}

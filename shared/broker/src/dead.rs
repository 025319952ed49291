//! The dead letters in Redis.

use longshore_protocol::{
    dead_letter::{DeadCursor, DeadQuery, Standing},
    event::DeadRecord,
    id::JobId,
};
use redis::AsyncCommands as _;

use super::{Broker, BrokerError, milliseconds, scripts};

/// Letters that one look goes through; it holds Redis for well under 10 ms.
const LOOKED: usize = 1000;

/// Bytes of letters after which a look ends: a letter may be of a megabyte, or of several.
const BYTES: usize = 4 << 20;

/// A page of the dead letters that fit, in the order that was asked for.
#[derive(Debug)]
pub struct DeadSlice<T> {
    /// What fits.
    pub found: Vec<T>,
    /// How many were looked at.
    pub looked: usize,
    /// Where to go on; `None` when there are no others.
    pub next: Option<DeadCursor>,
}

impl Broker {
    /// How many there are.
    pub async fn dead_count(&self) -> Result<u64, BrokerError> {
        self.shared()
            .zcard(self.keys().dead())
            .await
            .map_err(|source| self.failed(source))
    }

    /// How many died before then (ms).
    pub async fn dead_before(&self, time_ms: i64) -> Result<u64, BrokerError> {
        self.shared()
            .zcount(self.keys().dead(), "-inf", format!("({time_ms}"))
            .await
            .map_err(|source| self.failed(source))
    }

    /// The records of at most `most` letters that fit, with their times of death (ms). A page may hold
    /// fewer, or none, and not be the last: one look is short, however many there are and however large.
    pub async fn dead_records(
        &self,
        query: &DeadQuery,
        most: usize,
    ) -> Result<DeadSlice<(i64, DeadRecord)>, BrokerError> {
        let slice = self.look(query, most, "record").await?;
        slice.read(|id, died, text| {
            let record = serde_json::from_str(&text).map_err(|error| self.no_letter(id, error))?;
            Ok((milliseconds(died), record))
        })
    }

    /// The same, of whole letters.
    pub async fn dead_letters(
        &self,
        query: &DeadQuery,
        most: usize,
    ) -> Result<DeadSlice<Standing>, BrokerError> {
        let slice = self.look(query, most, "letter").await?;
        slice.read(|id, died, text| self.standing_letter(id, died, text))
    }

    async fn look(
        &self,
        query: &DeadQuery,
        most: usize,
        what: &str,
    ) -> Result<DeadSlice<(String, f64, String)>, BrokerError> {
        let (died, id) = query.after.as_ref().map_or_else(Default::default, |after| {
            (after.died_ms.to_string(), after.id.to_string())
        });
        let mut call = scripts::SCAN_DEAD_LETTERS.key(self.keys().dead());
        call.arg(self.keys().prefix())
            .arg(query.order.as_str())
            .arg(*query.span.start())
            .arg(*query.span.end())
            .arg(died)
            .arg(id)
            .arg(LOOKED)
            .arg(most)
            .arg(BYTES)
            .arg(what)
            .arg(query.filter.parts().to_string());
        let mut answer: std::vec::IntoIter<redis::Value> = call
            .invoke_async::<Vec<redis::Value>>(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?
            .into_iter();
        let mut texts = || -> Result<Option<String>, BrokerError> {
            let read = answer.next().map(redis::from_redis_value).transpose();
            read.map_err(|error| Self::foreign(self.keys().dead_jobs(), error))
        };
        let looked = texts()?.and_then(|text| text.parse().ok());
        let next = match (texts()?, texts()?) {
            (Some(died), Some(id)) => self.cursor(&died, &id)?,
            _ => None,
        };
        let mut found = Vec::new();
        while let (Some(id), Some(died), Some(text)) = (texts()?, texts()?, texts()?) {
            found.push((id, died.parse().unwrap_or_default(), text));
        }
        Ok(DeadSlice {
            found,
            looked: looked.unwrap_or_default(),
            next,
        })
    }

    fn cursor(&self, died: &str, id: &str) -> Result<Option<DeadCursor>, BrokerError> {
        if died.is_empty() {
            return Ok(None);
        }
        let foreign = |error: String| Self::foreign(format!("{} {id}", self.keys().dead()), error);
        Ok(Some(DeadCursor {
            died_ms: died
                .parse()
                .map(milliseconds)
                .map_err(|_| foreign(format!("`{died}` is no time")))?,
            id: JobId::parse(id).map_err(|error| foreign(error.to_string()))?,
        }))
    }

    /// One letter, with the time of its death (ms) and its JSON.
    pub async fn dead_letter(&self, id: &str) -> Result<Option<Standing>, BrokerError> {
        let (died, text): (Option<f64>, Option<String>) = redis::pipe()
            .zscore(self.keys().dead(), id)
            .hget(self.keys().dead_jobs(), id)
            .query_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        let (Some(died), Some(text)) = (died, text) else {
            return Ok(None);
        };
        self.standing_letter(id, died, text).map(Some)
    }

    fn standing_letter(&self, id: &str, died: f64, text: String) -> Result<Standing, BrokerError> {
        let letter = serde_json::from_str(&text).map_err(|error| self.no_letter(id, error))?;
        Ok((milliseconds(died), letter, text))
    }

    fn no_letter(&self, id: &str, error: serde_json::Error) -> BrokerError {
        Self::foreign(format!("{} {id}", self.keys().dead_jobs()), error)
    }

    /// Replaces a letter; `false` when it changed in the meantime.
    pub async fn edit_dead(
        &self,
        id: &JobId,
        before: &str,
        after: &str,
    ) -> Result<bool, BrokerError> {
        let mut call = scripts::EDIT_DEAD_LETTER.key(self.keys().dead_jobs());
        call.arg(self.keys().prefix())
            .arg(id.as_str())
            .arg(before)
            .arg(after);
        call.invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))
    }

    /// Removes letters that are archived (id and time of death); how many were still there.
    pub async fn remove_dead(&self, letters: &[(JobId, i64)]) -> Result<usize, BrokerError> {
        if letters.is_empty() {
            return Ok(0);
        }
        let mut call = scripts::REMOVE_DEAD_LETTERS.key(self.keys().dead());
        call.arg(self.keys().prefix());
        for (id, died) in letters {
            call.arg(id.as_str()).arg(*died);
        }
        call.invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))
    }
}

impl DeadSlice<(String, f64, String)> {
    fn read<T>(
        self,
        of: impl Fn(&str, f64, String) -> Result<T, BrokerError>,
    ) -> Result<DeadSlice<T>, BrokerError> {
        let found = self.found.into_iter();
        Ok(DeadSlice {
            found: found
                .map(|(id, died, text)| of(&id, died, text))
                .collect::<Result<_, _>>()?,
            looked: self.looked,
            next: self.next,
        })
    }
}

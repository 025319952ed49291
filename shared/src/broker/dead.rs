//! The dead letters in Redis.

use std::ops::RangeInclusive;

use redis::AsyncCommands as _;

use super::{Broker, BrokerError, milliseconds, scripts};
use crate::{archive::Standing, id::JobId, letter::Letter, resume::Resume};

/// Letters read at once while going through all of them.
const PAGE: usize = 1000;

/// A page of dead letters, oldest first, each with the time of its death (ms) and its JSON.
#[derive(Debug, Default)]
pub struct DeadPage {
    /// The letters.
    pub letters: Vec<(i64, Letter, String)>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<usize>,
}

impl Broker {
    /// How many there are.
    pub async fn dead_count(&self) -> Result<u64, BrokerError> {
        self.shared()
            .zcard(self.keys().dead())
            .await
            .map_err(|source| self.failed(source))
    }

    /// The page that begins at rank `start`, of letters that died at or after `since_ms`.
    pub async fn dead_page(&self, start: usize, since_ms: i64) -> Result<DeadPage, BrokerError> {
        let mut connection = self.pooled().await?;
        let found: Vec<(String, f64)> = redis::cmd("ZRANGEBYSCORE")
            .arg(self.keys().dead())
            .arg(since_ms)
            .arg("+inf")
            .arg("WITHSCORES")
            .arg("LIMIT")
            .arg(start)
            .arg(PAGE)
            .query_async(&mut connection)
            .await
            .map_err(|source| self.failed(source))?;
        drop(connection);
        let next = (found.len() == PAGE).then_some(start + PAGE);
        let letters = self.letters_of(&found).await?;
        Ok(DeadPage { letters, next })
    }

    /// The page of at most `count` letters, newest first, that begins at rank `start` among those
    /// that died within `span` (ms, both ends included). What dies meanwhile does not move it.
    pub async fn dead_page_back(
        &self,
        start: usize,
        span: RangeInclusive<i64>,
        count: usize,
    ) -> Result<DeadPage, BrokerError> {
        let found: Vec<(String, f64)> = redis::cmd("ZREVRANGEBYSCORE")
            .arg(self.keys().dead())
            .arg(span.end())
            .arg(span.start())
            .arg("WITHSCORES")
            .arg("LIMIT")
            .arg(start)
            .arg(count)
            .query_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        let next = (found.len() == count).then_some(start + count);
        let letters = self.letters_of(&found).await?;
        Ok(DeadPage { letters, next })
    }

    /// Those of the letters that are still there, in the order of `keys` (id and time of death). A
    /// letter that died again since is another one.
    pub async fn dead_letters(&self, keys: &[(JobId, i64)]) -> Result<Vec<Standing>, BrokerError> {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds fit for ages")]
        let found: Vec<(String, f64)> = keys
            .iter()
            .map(|(id, died)| (id.to_string(), *died as f64))
            .collect();
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&str> = keys.iter().map(|(id, _)| id.as_str()).collect();
        let now: Vec<Option<f64>> = redis::cmd("ZMSCORE")
            .arg(self.keys().dead())
            .arg(&ids)
            .query_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        let same: Vec<(String, f64)> = found
            .into_iter()
            .zip(now)
            .filter(|((_, died), now)| Some(*died) == *now)
            .map(|(key, _)| key)
            .collect();
        self.letters_of(&same).await
    }

    /// The letters of `found`, ids with their times of death, as far as they are still there.
    async fn letters_of(&self, found: &[(String, f64)]) -> Result<Vec<Standing>, BrokerError> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
        // On a connection of its own: a page may be large, and should not hold up other answers.
        let texts: Vec<Option<String>> = redis::cmd("HMGET")
            .arg(self.keys().dead_jobs())
            .arg(&ids)
            .query_async(&mut self.pooled().await?)
            .await
            .map_err(|source| self.failed(source))?;
        let mut letters = Vec::with_capacity(found.len());
        for ((id, died), text) in found.iter().zip(texts) {
            let Some(text) = text else { continue };
            letters.push(self.standing_letter(id, *died, text)?);
        }
        Ok(letters)
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
        let letter = serde_json::from_str(&text)
            .map_err(|error| Self::foreign(format!("{} {id}", self.keys().dead_jobs()), error))?;
        Ok((milliseconds(died), letter, text))
    }

    /// Replaces a letter; `false` when it changed in the meantime.
    pub async fn edit_dead(
        &self,
        id: &JobId,
        before: &str,
        after: &str,
    ) -> Result<bool, BrokerError> {
        let mut call = scripts::EDIT_DEAD.key(self.keys().dead_jobs());
        call.arg(self.keys().prefix())
            .arg(id.as_str())
            .arg(before)
            .arg(after);
        call.invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))
    }

    /// Puts a letter into its queue again, with `event` for the record; `false` when it is gone.
    pub async fn replay(
        &self,
        died_ms: i64,
        letter: &Letter,
        fields: &[(Vec<u8>, Vec<u8>)],
        resume: &Resume,
        event: &str,
    ) -> Result<bool, BrokerError> {
        let resume = serde_json::to_string(resume)
            .map_err(|error| Self::foreign(self.keys().resume(), error))?;
        let mut call = scripts::REPLAY.key(self.keys().dead());
        call.arg(self.keys().prefix())
            .arg(letter.record.id.as_str())
            .arg(died_ms)
            .arg(letter.record.queue.as_str())
            .arg(resume)
            .arg(event);
        for (name, value) in fields {
            call.arg(name).arg(value);
        }
        let place: String = call
            .invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        Ok(!place.is_empty())
    }

    /// Removes letters that are archived (id and time of death); how many were still there.
    pub async fn remove_dead(&self, letters: &[(JobId, i64)]) -> Result<usize, BrokerError> {
        if letters.is_empty() {
            return Ok(0);
        }
        let mut call = scripts::REMOVE_DEAD.key(self.keys().dead());
        call.arg(self.keys().prefix());
        for (id, died) in letters {
            call.arg(id.as_str()).arg(*died);
        }
        call.invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))
    }
}

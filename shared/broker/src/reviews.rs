//! Reviews: list what people are asked, and decide.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use longshore_protocol::{
    encryption::Content,
    event::Event,
    id::JobId,
    review::{Decision, Review, ReviewRecord, ReviewState},
};
use redis::AsyncCommands as _;
use serde::{Serialize, de::DeserializeOwned};

use crate::{BrokerError, Reviews, scripts};

/// How long a decision is kept until its job has read it: its queue may be paused meanwhile.
const KEPT_UNREAD_SECONDS: u64 = 30 * 24 * 3600;

/// Open reviews of one page: each may have an artefact of 1 MiB.
const PAGE: usize = 20;

/// The result of deciding a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    Yes,
    /// Nothing changed: this decision came first.
    Before(Box<Decision>),
    /// Nothing changed: the cancellation of the job is requested.
    Cancelled,
    /// Nothing changed: no such review is open.
    Gone,
}

/// The last review of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastReview {
    Open(Box<Review>),
    /// It ended lately.
    Ended(Box<Decision>),
    Unknown,
}

/// How many reviews are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenReviews {
    pub count: u64,
    /// When the oldest was asked.
    pub oldest: Option<DateTime<Utc>>,
}

impl Decided {
    fn from_reply(
        reply: &[String],
        opened: impl FnOnce(&str) -> Result<Decision, BrokerError>,
    ) -> Result<Self, BrokerError> {
        let words: Vec<&str> = reply.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["ok"] => Ok(Self::Yes),
            ["decided", json] => opened(json).map(|decision| Self::Before(Box::new(decision))),
            ["cancelled"] => Ok(Self::Cancelled),
            ["gone"] => Ok(Self::Gone),
            _ => Err(BrokerError::unexpected_reply(
                "review_decide",
                reply.join(" "),
            )),
        }
    }
}

impl Reviews<'_> {
    /// All open reviews, the oldest first.
    pub async fn open(self) -> Result<Vec<Review>, BrokerError> {
        let key = self.broker.keys().reviews();
        let mut found = BTreeMap::new();
        let mut cursor = 0_u64;
        loop {
            let (next, page): (u64, Vec<(String, String)>) = redis::cmd("HSCAN")
                .arg(&key)
                .arg(cursor)
                .arg("COUNT")
                .arg(PAGE)
                .query_async(&mut self.broker.shared())
                .await
                .map_err(|source| self.broker.failed(source))?;
            for (_, json) in page {
                let review: Review = self.opened(&key, &json)?;
                found.insert((review.asked_at, review.id.clone()), review);
            }
            cursor = next;
            if cursor == 0 {
                return Ok(found.into_values().collect());
            }
        }
    }

    /// How many reviews are open.
    pub async fn count(self) -> Result<OpenReviews, BrokerError> {
        let parked: BTreeMap<String, String> = self
            .broker
            .shared()
            .hgetall(self.broker.keys().reviews_parked())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let asked = parked.values().filter_map(|parked| {
            let (asked, _) = parked.split_once(' ')?;
            DateTime::from_timestamp_millis(asked.parse().ok()?)
        });
        Ok(OpenReviews {
            count: u64::try_from(parked.len()).unwrap_or(u64::MAX),
            oldest: asked.min(),
        })
    }

    /// The last review of a job.
    pub async fn last(self, job: &JobId) -> Result<LastReview, BrokerError> {
        let (open_key, key) = (
            self.broker.keys().reviews(),
            self.broker.keys().decision(job),
        );
        let (open, decision): (Option<String>, Option<String>) = redis::pipe()
            .hget(&open_key, job.as_str())
            .hget(&key, "decision")
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        if let Some(json) = open {
            return Ok(LastReview::Open(Box::new(self.opened(&open_key, &json)?)));
        }
        Ok(match decision {
            Some(json) => LastReview::Ended(Box::new(self.opened(&key, &json)?)),
            None => LastReview::Unknown,
        })
    }

    /// The decision of this review, if there is one.
    pub async fn decision(self, review: &Review) -> Result<Option<Decision>, BrokerError> {
        let key = self.broker.keys().decision(&review.id);
        let (asked, decision): (Option<i64>, Option<String>) = redis::cmd("HMGET")
            .arg(&key)
            .arg("asked")
            .arg("decision")
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        if asked != Some(review.asked_at.timestamp_millis()) {
            return Ok(None);
        }
        decision.map(|json| self.opened(&key, &json)).transpose()
    }

    /// Decides a review, or withdraws it, unless somebody did before; and releases its job.
    pub async fn decide(
        self,
        review: &Review,
        decision: &Decision,
    ) -> Result<Decided, BrokerError> {
        let event = Event {
            review: Some(Box::new(ReviewRecord::ended(review.clone(), decision))),
            ..Event::default()
        };
        let mut call = scripts::REVIEW_DECIDE.key(self.broker.keys().reviews());
        call.arg(self.broker.keys().prefix())
            .arg(review.id.as_str())
            .arg(review.asked_at.timestamp_millis())
            .arg(decision.state.as_str())
            .arg(self.stored(decision)?)
            .arg(self.stored(&event)?)
            .arg(if decision.state == ReviewState::Withdrawn {
                self.broker.retention().results.as_secs().max(1)
            } else {
                KEPT_UNREAD_SECONDS
            });
        let reply: Vec<String> = self.broker.run(&call).await?;
        let key = self.broker.keys().decision(&review.id);
        Decided::from_reply(&reply, |json| self.opened(&key, json))
    }

    /// Keeps a decision that its job has read only as long as the outcomes of jobs.
    pub async fn forget_decision(self, job: &JobId) -> Result<(), BrokerError> {
        let seconds = self.broker.retention().results.as_secs().max(1);
        redis::cmd("EXPIRE")
            .arg(self.broker.keys().decision(job))
            .arg(seconds)
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    fn stored<T: Content + Serialize>(self, fact: &T) -> Result<String, BrokerError> {
        let sealed = self.broker.keyring().sealed(fact)?;
        serde_json::to_string(&*sealed)
            .map_err(|error| BrokerError::not_serializable("review", error))
    }

    fn opened<T: Content + DeserializeOwned>(
        self,
        key: &str,
        json: &str,
    ) -> Result<T, BrokerError> {
        serde_json::from_str(json)
            .map(|stored| self.broker.keyring().opened(stored))
            .map_err(|error| BrokerError::foreign(key, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::tests::check_replies;

    #[test]
    fn every_reply_is_parsed() {
        let decision = Decision {
            state: ReviewState::Approved,
            by: "ada".to_owned(),
            comment: None,
            at: DateTime::UNIX_EPOCH,
            text: None,
        };
        let json = serde_json::to_string(&decision).unwrap();
        check_replies(
            "review_decide",
            &[
                (vec!["ok"], Decided::Yes),
                (vec!["decided", &json], Decided::Before(Box::new(decision))),
                (vec!["cancelled"], Decided::Cancelled),
                (vec!["gone"], Decided::Gone),
            ],
            |reply| {
                Decided::from_reply(reply, |json| {
                    serde_json::from_str(json).map_err(|error| BrokerError::foreign("k", error))
                })
            },
        );
    }
}

//! Reviews: what a step asks a person, and what the person decides (`docs/PROTOCOL.md`, "Reviews").

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    chain::{ChainId, Instance},
    id::JobId,
};

/// Who decides when nobody does before the deadline.
pub const DEADLINE: &str = "deadline";

/// Characters of a question in a list or an alert.
const HEAD: usize = 120;

string_enum! {
    /// What a review does if nobody decides in time.
    DefaultVerdict {
        Approve = "approve",
        Reject = "reject",
    }
}

string_enum! {
    /// What a person decided.
    Verdict {
        Approved = "approved",
        Rejected = "rejected",
    }
}

string_enum! {
    /// The state of a review.
    ReviewState {
        /// Nobody has decided yet.
        Awaiting = "awaiting",
        /// The artefact was approved as it was.
        Approved = "approved",
        /// The artefact was approved with another text.
        Edited = "edited",
        Rejected = "rejected",
        /// The job ended before anybody decided.
        Withdrawn = "withdrawn",
    }
}

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The job of the step.
    pub id: JobId,
    pub chain: ChainId,
    pub step: Instance,
    /// Who is asked, in the words of the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
    pub question: String,
    /// What the question is about: the answer of the step if it is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artefact: Option<String>,
    /// When it was asked; with the id, this identifies the review.
    #[serde(rename = "asked_ms", with = "chrono::serde::ts_milliseconds")]
    pub asked_at: DateTime<Utc>,
    /// When `default` decides.
    #[serde(
        rename = "deadline_ms",
        with = "chrono::serde::ts_milliseconds_option",
        default
    )]
    pub deadline: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultVerdict>,
}

impl Review {
    /// The start of the question, on one line.
    pub fn question_head(&self) -> String {
        let words: Vec<&str> = self.question.split_whitespace().collect();
        let line = words.join(" ");
        match line.char_indices().nth(HEAD) {
            None => line,
            Some((end, _)) => format!("{}…", line.get(..end).unwrap_or(&line)),
        }
    }

    /// What happens at the deadline, if it has passed.
    pub fn decision_at_deadline(&self, now: DateTime<Utc>) -> Option<Decision> {
        let (deadline, default) = self.deadline.zip(self.default)?;
        (deadline <= now).then(|| Decision {
            state: match default {
                DefaultVerdict::Approve => ReviewState::Approved,
                DefaultVerdict::Reject => ReviewState::Rejected,
            },
            by: DEADLINE.to_owned(),
            comment: None,
            at: now,
            text: None,
        })
    }
}

/// The end of a review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub state: ReviewState,
    /// A person, or [`DEADLINE`].
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(rename = "at_ms", with = "chrono::serde::ts_milliseconds")]
    pub at: DateTime<Utc>,
    /// The text that replaces the artefact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Decision {
    /// What it means for the step; `None` if the review was withdrawn or is open.
    pub fn verdict(&self) -> Option<Verdict> {
        match self.state {
            ReviewState::Approved | ReviewState::Edited => Some(Verdict::Approved),
            ReviewState::Rejected => Some(Verdict::Rejected),
            ReviewState::Awaiting | ReviewState::Withdrawn => None,
        }
    }

    /// The result in the outcome of the step.
    pub fn result(&self, asked_at: DateTime<Utc>) -> Option<ReviewResult> {
        let waited: TimeDelta = self.at - asked_at;
        Some(ReviewResult {
            decision: self.verdict()?,
            by: self.by.clone(),
            comment: self.comment.clone(),
            at: self.at,
            edited: self.state == ReviewState::Edited,
            waited_ms: u64::try_from(waited.num_milliseconds()).unwrap_or_default(),
        })
    }
}

/// What a step that asked a person says in its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewResult {
    pub decision: Verdict,
    /// A person, or [`DEADLINE`].
    pub by: String,
    pub comment: Option<String>,
    pub at: DateTime<Utc>,
    /// Whether the person replaced the artefact.
    pub edited: bool,
    /// From the question to the decision.
    pub waited_ms: u64,
}

/// A review after a change, for the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewRecord {
    #[serde(flatten)]
    pub review: Review,
    pub state: ReviewState,
    #[serde(
        rename = "decided_ms",
        with = "chrono::serde::ts_milliseconds_option",
        default
    )]
    pub decided_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl ReviewRecord {
    /// A review that was asked.
    pub fn asked(review: Review) -> Self {
        Self {
            review,
            state: ReviewState::Awaiting,
            decided_at: None,
            by: None,
            comment: None,
        }
    }

    /// A review that ended.
    pub fn ended(review: Review, decision: &Decision) -> Self {
        Self {
            review,
            state: decision.state,
            decided_at: Some(decision.at),
            by: Some(decision.by.clone()).filter(|by| !by.is_empty()),
            comment: decision.comment.clone(),
        }
    }
}

/// An alert that somebody is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewAlert {
    pub id: JobId,
    pub chain: ChainId,
    pub step: Instance,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
    /// The start of the question.
    pub question: String,
    #[serde(rename = "asked_ms", with = "chrono::serde::ts_milliseconds")]
    pub asked_at: DateTime<Utc>,
    #[serde(
        rename = "deadline_ms",
        with = "chrono::serde::ts_milliseconds_option",
        default
    )]
    pub deadline: Option<DateTime<Utc>>,
}

impl From<&Review> for ReviewAlert {
    fn from(review: &Review) -> Self {
        Self {
            id: review.id.clone(),
            chain: review.chain.clone(),
            step: review.step.clone(),
            asks: review.asks.clone(),
            question: review.question_head(),
            asked_at: review.asked_at,
            deadline: review.deadline,
        }
    }
}

/// What the job of a review remembers. Part of its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewProgress {
    /// When it asked.
    #[serde(rename = "asked_ms", with = "chrono::serde::ts_milliseconds")]
    pub asked_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review() -> Review {
        Review {
            id: JobId::parse("c/a").unwrap(),
            chain: ChainId::parse("c").unwrap(),
            step: "a".parse().unwrap(),
            asks: None,
            question: "Publish\n this?".to_owned(),
            artefact: None,
            asked_at: DateTime::UNIX_EPOCH,
            deadline: None,
            default: None,
        }
    }

    #[test]
    fn the_head_of_a_question_is_one_short_line() {
        assert_eq!(review().question_head(), "Publish this?");
        let long = Review {
            question: "ä".repeat(500),
            ..review()
        };
        assert_eq!(long.question_head().chars().count(), HEAD + 1);
    }

    #[test]
    fn the_deadline_decides_once_it_has_passed() {
        let deadline = DateTime::UNIX_EPOCH + TimeDelta::seconds(10);
        let review = Review {
            deadline: Some(deadline),
            default: Some(DefaultVerdict::Reject),
            ..review()
        };
        let before = deadline - TimeDelta::milliseconds(1);
        assert_eq!(review.decision_at_deadline(before), None);
        let decision = review.decision_at_deadline(deadline).unwrap();
        assert_eq!(decision.verdict(), Some(Verdict::Rejected));
        let result = decision.result(review.asked_at).unwrap();
        assert_eq!((result.by.as_str(), result.waited_ms), (DEADLINE, 10_000));
    }

    #[test]
    fn a_record_is_flat_json() {
        let json = serde_json::to_value(ReviewRecord::asked(review())).unwrap();
        assert_eq!(json["id"], "c/a");
        assert_eq!(json["state"], "awaiting");
        let back: ReviewRecord = serde_json::from_value(json).unwrap();
        assert_eq!(back, ReviewRecord::asked(review()));
    }
}

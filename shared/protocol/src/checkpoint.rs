//! What is remembered of a job between its runs: attempts, figures, history.
//!
//! Kept in Redis beside the entry (`{ns}:resume`) or in a lane's record, never in the message, which
//! its producer alone wrote.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    call::{ErrorClass, Usage},
    chain::StepRef,
    id::{AttemptId, JobId},
    money::Usd,
    platform::Tier,
};

/// How many attempts a history keeps: the newest.
const HISTORY: usize = 20;

/// What is remembered of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resume {
    /// The job's id, which its new place does not tell.
    pub id: JobId,
    /// Whether its own id and unique key were checked.
    pub admitted: bool,
    /// When the server first received it.
    pub enqueued_at: DateTime<Utc>,
    /// When its first attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// Attempts so far, lost ones included.
    #[serde(default)]
    pub attempts: u32,
    /// Tokens so far.
    #[serde(default)]
    pub usage: Usage,
    /// What it cost so far.
    #[serde(default)]
    pub cost: Usd,
    /// Platforms that have had their full cycle of tries.
    #[serde(default)]
    pub spent: Vec<String>,
    /// Tries so far on platforms that are not spent yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tries: BTreeMap<String, u32>,
    /// Whether it came out of a limit's lane and has not been called since: nobody overtakes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waited: bool,
    /// The context window that was too small for it, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outgrew: Option<u64>,
    /// The tier whose models have failed it, of a step that goes on with higher ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Tier>,
    /// Workers that died while they ran it.
    #[serde(default)]
    pub crashes: u32,
    /// Of these, how many died at the place where it stands now.
    #[serde(default)]
    pub crashes_here: u32,
    /// How often a person or a rule replayed it from the dead letters.
    #[serde(default)]
    pub replays: u32,
    /// The step of a chain that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Box<StepRef>>,
    /// The newest attempts.
    #[serde(default)]
    pub history: Vec<PastAttempt>,
    /// Since when it waits for a worker of a newer protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_since: Option<DateTime<Utc>>,
}

/// One attempt of the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastAttempt {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// When it began.
    pub at: DateTime<Utc>,
    /// Who was asked.
    pub platform: String,
    /// Which model.
    pub model: String,
    /// What went wrong.
    pub error_class: ErrorClass,
    /// What was said.
    pub error: String,
    /// What it cost; absent when only the provider knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Usd>,
}

impl Resume {
    /// Of a job that nothing happened to yet.
    pub fn fresh(id: JobId, enqueued_at: DateTime<Utc>) -> Self {
        Self {
            id,
            admitted: false,
            enqueued_at,
            started_at: None,
            attempts: 0,
            usage: Usage::default(),
            cost: Usd::ZERO,
            spent: Vec::new(),
            tries: BTreeMap::new(),
            waited: false,
            outgrew: None,
            above: None,
            crashes: 0,
            crashes_here: 0,
            replays: 0,
            step: None,
            history: Vec::new(),
            waits_since: None,
        }
    }

    /// Adds a failed attempt to the history.
    pub fn remember(&mut self, attempt: PastAttempt) {
        if self.history.len() >= HISTORY {
            self.history.remove(0);
        }
        self.history.push(attempt);
    }

    /// The same job with a fresh set of attempts, and a fresh wait for a newer worker.
    #[must_use]
    pub fn replayed(mut self) -> Self {
        self.spent.clear();
        self.tries.clear();
        self.above = None;
        self.crashes = 0;
        self.crashes_here = 0;
        self.waits_since = None;
        self.replays += 1;
        self
    }

    /// Counts the crashes that Redis saw at this place; each was an attempt.
    pub fn count_crashes(&mut self, at_this_place: u32) {
        let fresh = at_this_place.saturating_sub(self.crashes_here);
        self.crashes += fresh;
        self.attempts += fresh;
        self.crashes_here = at_this_place;
    }

    /// The same job, about to stand at another place.
    #[must_use]
    pub fn moved(mut self) -> Self {
        self.crashes_here = 0;
        self
    }
}

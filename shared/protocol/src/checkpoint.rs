//! The checkpoint of a job: what is remembered of it between attempts.
//!
//! Redis stores it next to the entry (`{ns}:checkpoint`) or in the record of a lane. It is never part of
//! the message, which only the producer writes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    call::{ErrorClass, Usage},
    chain::StepRef,
    id::{AttemptId, JobId},
    money::Usd,
    outcome::ChainOutcome,
    platform::Tier,
    recipe::RecipeProgress,
    review::ReviewProgress,
    serialized::is_zero,
    tool_rounds::ToolRounds,
};

/// The number of past attempts that a history keeps, newest last.
const HISTORY: usize = 20;

/// The checkpoint of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The job's id: after a move, the entry id no longer shows it.
    pub id: JobId,
    /// Whether its own id and its unique key were checked.
    pub admitted: bool,
    /// When the server first received the job.
    pub enqueued_at: DateTime<Utc>,
    /// When the first attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// Attempts so far, lost ones included.
    #[serde(default)]
    pub attempts: u32,
    /// Tokens of all attempts.
    #[serde(default)]
    pub usage: Usage,
    /// Known cost of all attempts.
    #[serde(default)]
    pub cost: Usd,
    /// Whether the cost of any attempt is unknown or Longshore's own estimate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cost_estimated: bool,
    /// Platforms whose retries are exhausted.
    #[serde(default, rename = "spent")]
    pub exhausted: Vec<String>,
    /// Failed attempts on the platforms that the job tries now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tries: BTreeMap<String, u32>,
    /// Failed attempts on platforms that the job has left, while a circuit is open or until a quota returns, and whose
    /// retries are not exhausted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub earlier_tries: BTreeMap<String, u32>,
    /// Platforms that asked for a long wait, and when it ends. Until then, other candidates come first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_before: BTreeMap<String, DateTime<Utc>>,
    /// Whether the job was released from a limit's lane and has not been called since. No later job may
    /// overtake it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waited: bool,
    /// Calls that failed in a way that only a change of the call mends; each was billed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repairs: u32,
    /// What was wrong with the last answer, for the next call to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The token limit of the next answers instead of the job's own, which was too small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_limit: Option<u32>,
    /// The context window that was too small for the job, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outgrew: Option<u64>,
    /// The tier whose models failed the step, if the step escalates to higher tiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Tier>,
    /// Workers that died while they ran the job.
    #[serde(default)]
    pub crashes: u32,
    /// How many of them died at the current entry.
    #[serde(default)]
    pub crashes_here: u32,
    /// How often a person or a rule replayed the job from the dead letters.
    #[serde(default)]
    pub replays: u32,
    /// The chain step that the job runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Box<StepRef>>,
    /// The newest attempts.
    #[serde(default)]
    pub history: Vec<PastAttempt>,
    /// When the next attempt begins, while a worker keeps the job until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Since when the job waits for a worker of a newer protocol version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_since: Option<DateTime<Utc>>,
    /// Whether a person released the job before its time. The start time of its message no longer counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub run_now: bool,
    /// The recipe that answers the job, once it has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Box<RecipeProgress>>,
    /// The review of the job, once it has asked a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewProgress>,
    /// The rounds of tools of its step so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Box<ToolRounds>>,
}

/// What a job has spent: all its attempts, and those of its recipe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    pub attempts: u64,
    /// Cached ones included.
    pub input_tokens: u64,
    /// Reasoning included.
    pub output_tokens: u64,
    pub cached_tokens: u64,
    pub reasoning_tokens: u64,
    /// The known cost.
    pub cost_usd: Usd,
    /// Whether the cost of any attempt is unknown or an estimate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cost_estimated: bool,
}

impl Spent {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            attempts: self.attempts.saturating_add(other.attempts),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            cost_usd: self.cost_usd + other.cost_usd,
            cost_estimated: self.cost_estimated || other.cost_estimated,
        }
    }
}

impl From<&ChainOutcome> for Spent {
    /// What a chain has spent.
    fn from(outcome: &ChainOutcome) -> Self {
        Self {
            attempts: outcome.attempts,
            input_tokens: outcome.input_tokens,
            output_tokens: outcome.output_tokens,
            cached_tokens: outcome.cached_tokens,
            reasoning_tokens: outcome.reasoning_tokens,
            cost_usd: outcome.cost_usd,
            cost_estimated: outcome.cost_estimated,
        }
    }
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastAttempt {
    pub attempt_id: AttemptId,
    /// When it began.
    pub at: DateTime<Utc>,
    pub platform: String,
    pub model: String,
    pub error_class: ErrorClass,
    pub error: String,
    /// The cost; absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Usd>,
}

impl Checkpoint {
    /// The checkpoint of a new job.
    pub fn fresh(id: JobId, enqueued_at: DateTime<Utc>) -> Self {
        Self {
            id,
            admitted: false,
            enqueued_at,
            started_at: None,
            attempts: 0,
            usage: Usage::default(),
            cost: Usd::ZERO,
            cost_estimated: false,
            exhausted: Vec::new(),
            tries: BTreeMap::new(),
            earlier_tries: BTreeMap::new(),
            not_before: BTreeMap::new(),
            waited: false,
            repairs: 0,
            fault: None,
            token_limit: None,
            outgrew: None,
            above: None,
            crashes: 0,
            crashes_here: 0,
            replays: 0,
            step: None,
            history: Vec::new(),
            next_attempt_at: None,
            waits_since: None,
            run_now: false,
            recipe: None,
            review: None,
            tools: None,
        }
    }

    /// What the job's own attempts have spent.
    pub fn spent(&self) -> Spent {
        Spent {
            attempts: self.attempts.into(),
            input_tokens: self.usage.total_input(),
            output_tokens: self.usage.total_output(),
            cached_tokens: self.usage.cached,
            reasoning_tokens: self.usage.reasoning,
            cost_usd: self.cost,
            cost_estimated: self.cost_estimated,
        }
    }

    /// Appends a failed attempt to the history and drops the oldest if the history is full.
    pub fn remember(&mut self, attempt: PastAttempt) {
        if self.history.len() >= HISTORY {
            self.history.remove(0);
        }
        self.history.push(attempt);
    }

    /// The checkpoint of a replayed job: retries, crashes, rounds of tools and the wait for a newer worker start again, and a
    /// person is asked again.
    #[must_use]
    pub fn replayed(mut self) -> Self {
        self.exhausted.clear();
        self.tries.clear();
        self.earlier_tries.clear();
        self.not_before.clear();
        self.repairs = 0;
        self.fault = None;
        self.above = None;
        self.tools = None;
        self.crashes = 0;
        self.crashes_here = 0;
        self.waits_since = None;
        self.review = None;
        self.replays += 1;
        self
    }

    /// The checkpoint of a job that runs before its time: it waits neither for its start time nor for a platform that
    /// asked it to wait.
    #[must_use]
    pub fn released_now(mut self) -> Self {
        self.not_before.clear();
        self.run_now = true;
        self
    }

    /// Sets the number of crashes that Redis counted at the current entry. Each new one counts as an
    /// attempt.
    pub fn count_crashes(&mut self, at_this_place: u32) {
        let fresh = at_this_place.saturating_sub(self.crashes_here);
        self.crashes += fresh;
        self.attempts += fresh;
        self.cost_estimated |= fresh > 0;
        self.crashes_here = at_this_place;
    }

    /// The checkpoint of a job that moves to another entry.
    #[must_use]
    pub fn moved(mut self) -> Self {
        self.crashes_here = 0;
        self
    }
}

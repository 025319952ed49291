//! Selects the candidates that can be called now. Leaves out those that have failed too often for this job,
//! that could cost more than the job may, that are paused, whose account is held, or whose circuit is open.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use longshore_policy::{
    cost::CostCap,
    pause::PausedLane,
    routing::{Candidate, Decision, PromptTokens},
};
use longshore_protocol::{
    call::ErrorClass, checkpoint::Checkpoint, envelope::Envelope, event::SkippedRecord,
    id::QueueName, money::Usd, platform::PlatformName,
};

use crate::chain::Authors;

use super::{
    Availability,
    circuits::{CallPermit, CircuitState},
    estimate::Estimate,
    policy::Policy,
};

/// How long another worker's probe may take before the circuit is checked again.
const PROBE_RECHECK: TimeDelta = TimeDelta::seconds(1);

/// If some candidates are paused and others unavailable, the job is routed again after this time at the
/// latest: the pause may end first.
const PAUSED_RECHECK: TimeDelta = TimeDelta::minutes(1);

/// What candidates are selected for, and from.
#[derive(Clone, Copy)]
pub(crate) struct Query<'q, 'a> {
    /// The job's queue.
    pub(crate) queue: &'q QueueName,
    pub(crate) envelope: &'q Envelope,
    /// The length of its prompt.
    pub(crate) length: PromptTokens,
    pub(crate) decision: &'q Decision<'a>,
    /// Who may not answer; the decision has none of them.
    pub(crate) authors: Option<&'q Authors>,
    pub(crate) policy: &'a Policy,
    pub(crate) availability: &'a Availability,
}

/// A candidate that can be called now.
pub(crate) struct Usable<'a> {
    pub(crate) candidate: Candidate<'a>,
    /// The highest cost of the call, and the amounts that it reserves.
    pub(crate) estimate: Estimate,
    /// The permit of its circuit.
    pub(crate) permit: CallPermit<'a>,
}

/// The first candidate that can be called now, and those before it that cannot.
pub(crate) struct Chosen<'a> {
    pub(crate) first: Usable<'a>,
    pub(crate) skipped: Vec<SkippedRecord>,
}

/// Why no candidate can be called now.
pub(crate) enum NoCandidate {
    /// All that could answer are paused: the job waits in this lane.
    Paused(PausedLane),
    /// The first becomes available at this time.
    Until(DateTime<Utc>),
    /// The cheapest could bring the job's cost to this amount, which exceeds the cap.
    OverCap(Usd, CostCap),
    /// All have failed.
    AllFailed,
}

/// Selects the first candidate that can be called now.
pub(crate) async fn select_first<'a>(
    query: Query<'_, 'a>,
    checkpoint: &Checkpoint,
) -> Result<Chosen<'a>, NoCandidate> {
    let mut selection = Selection::default();
    for candidate in remaining_in_order(query.decision, checkpoint) {
        selection
            .consider(candidate.clone(), query, checkpoint)
            .await;
        if !selection.usable.is_empty() {
            break;
        }
    }
    let skipped = std::mem::take(&mut selection.skipped);
    match selection.usable.pop() {
        Some(first) => Ok(Chosen { first, skipped }),
        None => Err(selection.no_candidate(query.availability)),
    }
}

/// All candidates that can be called now.
pub(crate) struct AllUsable<'a> {
    /// In order: those of the job's route, then free ones.
    pub(crate) usable: Vec<Usable<'a>>,
    pub(crate) skipped: Vec<SkippedRecord>,
    /// How many of them are on the job's route.
    pub(crate) routed: usize,
    /// When the first of those that are unavailable may be called again.
    pub(crate) until: Option<DateTime<Utc>>,
    /// Whether every platform is among them, so that any other job would find the same.
    pub(crate) is_every_platform: bool,
}

/// Selects all candidates that can be called now, and, if an exhausted budget sends jobs to them, the free
/// models that are not on the job's route.
pub(crate) async fn select_all<'a>(query: Query<'_, 'a>, checkpoint: &Checkpoint) -> AllUsable<'a> {
    let mut selection = Selection::default();
    for candidate in remaining_in_order(query.decision, checkpoint) {
        selection
            .consider(candidate.clone(), query, checkpoint)
            .await;
    }
    let routed = selection.usable.len();
    if query.envelope.fallback && query.policy.meters.send_to_free() {
        selection.consider_free(query, checkpoint).await;
    }
    AllUsable {
        routed,
        until: selection.recheck_at(query.availability),
        is_every_platform: selection.usable.len() == query.policy.router.platforms(),
        usable: selection.usable,
        skipped: selection.skipped,
    }
}

/// The candidates that have attempts left, starting with the one that has been called already.
fn remaining_in_order<'d, 'a>(
    decision: &'d Decision<'a>,
    checkpoint: &'d Checkpoint,
) -> impl Iterator<Item = &'d Candidate<'a>> {
    let remaining = || {
        decision
            .candidates
            .iter()
            .filter(|candidate| !is_exhausted(candidate, checkpoint))
    };
    let is_in_use = |candidate: &&Candidate<'_>| {
        let platform = candidate.provider.name.as_str();
        checkpoint.tries.contains_key(platform) && !checkpoint.not_before.contains_key(platform)
    };
    remaining()
        .filter(is_in_use)
        .chain(remaining().filter(move |candidate| !is_in_use(candidate)))
}

/// Whether this candidate has no attempts left for the job.
fn is_exhausted(candidate: &Candidate<'_>, checkpoint: &Checkpoint) -> bool {
    let platform = candidate.provider.name.as_str();
    let has_failed = checkpoint.exhausted.iter().any(|failed| failed == platform);
    match checkpoint.outgrew {
        // A larger context window on the same platform is another chance.
        Some(window) => candidate.model.context_window <= window,
        None => has_failed,
    }
}

/// Whether the platform asked the job to wait for a limit of its account. Then the account is held for as long, and the end
/// of its hold, by whoever, ends the job's wait.
fn waits_for_account(platform: &PlatformName, checkpoint: &Checkpoint) -> bool {
    let mut past = checkpoint.history.iter().rev();
    let last = past.find(|past| past.platform == platform.as_str());
    last.is_some_and(|past| past.error_class == ErrorClass::RateLimited)
}

/// The candidates considered so far.
#[derive(Default)]
struct Selection<'a> {
    usable: Vec<Usable<'a>>,
    skipped: Vec<SkippedRecord>,
    /// When the first of those that are unavailable may be called again.
    until: Option<DateTime<Utc>>,
    paused: BTreeSet<String>,
    /// The lowest cost that exceeds the job's cap.
    over_cap: Option<(Usd, CostCap)>,
}

impl<'a> Selection<'a> {
    async fn consider(
        &mut self,
        candidate: Candidate<'a>,
        query: Query<'_, 'a>,
        checkpoint: &Checkpoint,
    ) {
        let Query {
            envelope,
            policy,
            availability,
            ..
        } = query;
        let now = availability.clock.now();
        let platform = &candidate.provider.name;
        let step = checkpoint.step.as_deref();
        let cap = CostCap::for_job(envelope, &policy.config.routing);
        let left = cap.map(|cap| cap.left(checkpoint.cost));
        let estimate = Estimate::new(query, &candidate, step, left, now);
        if let Some(cap) = cap {
            let possible = checkpoint.cost + estimate.answer.cost;
            if possible > cap.amount {
                let lowest = self
                    .over_cap
                    .map_or(possible, |(other, _)| other.min(possible));
                self.over_cap = Some((lowest, cap));
                let why = format!(
                    "could cost ${possible}, more than the cap of ${}",
                    cap.amount
                );
                self.skip(&candidate, why);
                return;
            }
        }
        if let Some(pause) = availability.pauses.provider_pause(platform, now) {
            self.paused.insert(platform.to_string());
            let why = pause.reason.map(|reason| format!("paused: {reason}"));
            self.skip(&candidate, why.unwrap_or_else(|| "paused".to_owned()));
            return;
        }
        let account = &candidate.provider.account;
        let held_until = availability.account_holds.held_until(account, now);
        if let Some(until) = checkpoint.not_before.get(platform.as_str())
            && *until > now
            && (held_until.is_some() || !waits_for_account(platform, checkpoint))
        {
            self.skip_until(&candidate, *until, "asked to wait");
            return;
        }
        // A platform that this job has called already waits as long as its answer asked for.
        let is_in_use = checkpoint.tries.contains_key(platform.as_str());
        if !is_in_use && let Some(until) = held_until {
            self.skip_until(&candidate, until, "account held");
            return;
        }
        let model = &candidate.model.model;
        if let Some(permit) = availability.circuits.permit(platform, model).await {
            self.usable.push(Usable {
                candidate,
                estimate,
                permit,
            });
            return;
        }
        match availability.circuits.state(platform, model) {
            CircuitState::Open { until } => self.skip_until(&candidate, until, "circuit open"),
            CircuitState::Closed | CircuitState::HalfOpen => {
                let until = now + PROBE_RECHECK;
                self.skip_until(&candidate, until, "circuit half-open, probe in progress");
            }
        }
    }

    /// Considers the free models that are not on the job's route.
    async fn consider_free(&mut self, query: Query<'_, 'a>, checkpoint: &Checkpoint) {
        let free = query.policy.router.free(query.envelope, query.length);
        for candidate in free {
            let platform = &candidate.provider.name;
            let mut routed = query.decision.candidates.iter();
            let may_answer = query
                .authors
                .is_none_or(|authors| authors.may_answer(&candidate));
            if routed.all(|other| other.provider.name != *platform)
                && may_answer
                && !is_exhausted(&candidate, checkpoint)
            {
                self.consider(candidate, query, checkpoint).await;
            }
        }
    }

    fn no_candidate(self, availability: &Availability) -> NoCandidate {
        if let Some(until) = self.recheck_at(availability) {
            return NoCandidate::Until(until);
        }
        if !self.paused.is_empty() {
            let platforms = self.paused.iter().map(String::as_str);
            return NoCandidate::Paused(PausedLane::of_providers(platforms));
        }
        match self.over_cap {
            Some((possible, cap)) => NoCandidate::OverCap(possible, cap),
            None => NoCandidate::AllFailed,
        }
    }

    fn recheck_at(&self, availability: &Availability) -> Option<DateTime<Utc>> {
        if self.paused.is_empty() {
            return self.until;
        }
        let recheck = availability.clock.now() + PAUSED_RECHECK;
        self.until.map(|until| until.min(recheck))
    }

    fn skip_until(&mut self, candidate: &Candidate<'a>, until: DateTime<Utc>, why: &str) {
        self.until = Some(self.until.map_or(until, |other| other.min(until)));
        let time = until.format("%H:%M:%S UTC");
        self.skip(candidate, format!("{why} until {time}"));
    }

    fn skip(&mut self, candidate: &Candidate<'a>, why: String) {
        self.skipped.push(SkippedRecord {
            platform: candidate.provider.name.to_string(),
            model: candidate.model.model.clone(),
            why,
        });
    }
}

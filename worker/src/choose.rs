//! Which of a job's candidates may be asked now: not those that had their tries, that are not well, or
//! that could cost more than the job may.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use longshore_policy::{
    pause::PausedLane,
    routing::{Candidate, Decision},
};
use longshore_protocol::{
    checkpoint::Resume, envelope::Envelope, event::SkippedRecord, money::Usd,
};

use crate::{
    circuit::{Health, Pass},
    deps::Deps,
    estimate::Estimate,
    limits::Allowance,
    policy::Policy,
};

/// A candidate that may be asked now.
pub(crate) struct Usable<'a> {
    pub(crate) candidate: Candidate<'a>,
    /// What the call may cost at most, and take.
    pub(crate) estimate: Estimate,
    /// Leave of its circuit.
    pub(crate) pass: Pass<'a>,
}

/// Who may be asked now.
pub(crate) struct Choice<'a> {
    /// In order.
    pub(crate) usable: Vec<Usable<'a>>,
    pub(crate) skipped: Vec<SkippedRecord>,
    /// When one of those who are not well or limited may be asked again.
    pub(crate) until: Option<DateTime<Utc>>,
    /// Those that are paused.
    paused: BTreeSet<String>,
    /// What the cheapest could cost, if all that is wrong is that the job may not spend it.
    pub(crate) too_dear: Option<(Usd, Allowance)>,
}

/// What a choice goes by.
#[derive(Clone, Copy)]
pub(crate) struct Query<'q, 'a> {
    pub(crate) envelope: &'q Envelope,
    pub(crate) decision: &'q Decision<'a>,
    pub(crate) policy: &'a Policy,
    pub(crate) deps: &'a Deps,
}

/// Sorts the candidates out, until it has found `most` who may be asked.
pub(crate) async fn choose<'a>(query: Query<'_, 'a>, resume: &Resume, most: usize) -> Choice<'a> {
    let mut choice = Choice {
        usable: Vec::new(),
        skipped: Vec::new(),
        until: None,
        paused: BTreeSet::new(),
        too_dear: None,
    };
    for candidate in in_turn(query.decision, resume) {
        if choice.usable.len() >= most {
            break;
        }
        choice.look_at(candidate.clone(), query, resume).await;
    }
    if !choice.paused.is_empty() {
        // Who is paused may be resumed before the others are well.
        let look = query.deps.clock.now() + PAUSED_LOOK;
        choice.until = choice.until.map(|until| until.min(look));
    }
    choice
}

/// The candidates that have not had their tries; first the one that is being tried.
fn in_turn<'d, 'a>(
    decision: &'d Decision<'a>,
    resume: &'d Resume,
) -> impl Iterator<Item = &'d Candidate<'a>> {
    let left = || {
        decision
            .candidates
            .iter()
            .filter(|candidate| !is_spent(candidate, resume))
    };
    let tried =
        |candidate: &&Candidate<'_>| resume.tries.contains_key(candidate.provider.name.as_str());
    left()
        .filter(tried)
        .chain(left().filter(move |candidate| !tried(candidate)))
}

fn is_spent(candidate: &Candidate<'_>, resume: &Resume) -> bool {
    let name = candidate.provider.name.as_str();
    let spent = resume.spent.iter().any(|spent| spent == name);
    // A larger window of the same platform is another chance.
    let larger = resume
        .outgrew
        .is_some_and(|window| candidate.model.context_window > window);
    let too_small = resume
        .outgrew
        .is_some_and(|window| candidate.model.context_window <= window);
    too_small || (spent && !larger)
}

impl<'a> Choice<'a> {
    /// Adds those who cost nothing and are not on the job's route: a budget may send it there.
    pub(crate) async fn add_free(&mut self, query: Query<'_, 'a>, resume: &Resume) {
        let prompt = query.policy.router.measure(query.envelope);
        for candidate in query.policy.router.free(query.envelope, prompt) {
            let name = &candidate.provider.name;
            let routed = query.decision.candidates.iter();
            if routed.clone().all(|one| one.provider.name != *name) && !is_spent(&candidate, resume)
            {
                self.look_at(candidate, query, resume).await;
            }
        }
    }

    async fn look_at(&mut self, candidate: Candidate<'a>, query: Query<'_, 'a>, resume: &Resume) {
        let Query {
            envelope,
            policy,
            deps,
            ..
        } = query;
        let now = deps.clock.now();
        let platform = &candidate.provider.name;
        let estimate = Estimate::of(envelope, &candidate, resume.step.as_deref(), policy, now);
        if let Some(allowance) = Allowance::of(envelope, &policy.config) {
            let (could, most) = (resume.cost + estimate.upper_bound, allowance.most);
            if could > most {
                let least = self.too_dear.map_or(could, |(other, _)| other.min(could));
                self.too_dear = Some((least, allowance));
                self.skip(
                    &candidate,
                    format!("could cost ${could}, of at most ${most}"),
                );
                return;
            }
        }
        if let Some(pause) = deps.pauses.provider(platform, now) {
            self.paused.insert(platform.to_string());
            let why = pause.reason.map(|reason| format!("paused: {reason}"));
            self.skip(&candidate, why.unwrap_or_else(|| "paused".to_owned()));
            return;
        }
        // One that is being tried waits as long as it was told to.
        let being_tried = resume.tries.contains_key(platform.as_str());
        if !being_tried && let Some(until) = deps.accounts.limited(&candidate.provider.account, now)
        {
            self.later(&candidate, until, "limited by its provider");
            return;
        }
        let model = &candidate.model.model;
        if let Some(pass) = deps.circuits.pass(platform, model).await {
            self.usable.push(Usable {
                candidate,
                estimate,
                pass,
            });
            return;
        }
        match deps.circuits.health(platform, model) {
            Health::Open { until, .. } => self.later(&candidate, until, "not well"),
            Health::Closed | Health::HalfOpen => {
                self.later(&candidate, now + PROBED, "not well, and being probed");
            }
        }
    }

    /// Where the job waits if all who could answer it are paused.
    pub(crate) fn waits_for_resume(&self) -> Option<PausedLane> {
        let only = self.usable.is_empty() && self.until.is_none() && !self.paused.is_empty();
        only.then(|| PausedLane::of_providers(self.paused.iter().map(String::as_str)))
    }

    fn later(&mut self, candidate: &Candidate<'a>, until: DateTime<Utc>, why: &str) {
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

/// How long another's probe may take before it is worth looking again.
const PROBED: TimeDelta = TimeDelta::seconds(1);

/// Where some are paused and the others not well, it is looked again after this long at the latest.
const PAUSED_LOOK: TimeDelta = TimeDelta::minutes(1);

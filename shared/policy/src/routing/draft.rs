//! A decision in progress.

use std::borrow::Cow;

use super::{
    Candidate, Decision, RoutingStage, StageName,
    market::{CandidateIndex, Market, Why},
    order::Order,
};

/// A decision in progress: a precomputed order, copied when a stage changes it.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) indexes: Cow<'a, [CandidateIndex]>,
    /// The reason of the preferred candidates.
    preferred: &'a str,
    steps: Cow<'a, [RoutingStage<'a>]>,
    /// A note that is appended to every reason.
    pub(super) note: Option<String>,
}

impl<'a> Draft<'a> {
    /// From a precomputed order.
    pub(super) fn like(order: &'a Order) -> Self {
        Self {
            indexes: Cow::Borrowed(&order.indexes),
            preferred: &order.preferred,
            steps: Cow::Borrowed(&order.steps),
            note: None,
        }
    }

    /// From these candidates alone.
    pub(super) fn from_candidates(indexes: Vec<CandidateIndex>) -> Self {
        Self {
            indexes: Cow::Owned(indexes),
            preferred: "",
            steps: Cow::Borrowed(&[]),
            note: None,
        }
    }

    /// Records a stage's outcome after its earlier ones.
    pub(super) fn record(&mut self, step: StageName, outcome: impl Into<Cow<'a, str>>) {
        self.insert(step, outcome.into(), |one| one <= step as usize);
    }

    /// Records a stage's outcome before its earlier ones.
    pub(super) fn record_first(&mut self, step: StageName, outcome: impl Into<Cow<'a, str>>) {
        self.insert(step, outcome.into(), |one| one < step as usize);
    }

    fn insert(&mut self, step: StageName, outcome: Cow<'a, str>, before: impl Fn(usize) -> bool) {
        if let Cow::Borrowed(known) = self.steps {
            let again = known.iter().map(|one| RoutingStage {
                step: one.step,
                outcome: Cow::Borrowed(one.outcome.as_ref()),
            });
            self.steps = Cow::Owned(again.collect());
        }
        let steps = self.steps.to_mut();
        let at = steps.partition_point(|one| before(one.step as usize));
        steps.insert(at, RoutingStage { step, outcome });
    }

    pub(super) fn decision(self, market: &'a Market) -> Decision<'a> {
        let Self {
            indexes,
            preferred,
            steps,
            note,
        } = self;
        let mut candidates = Vec::with_capacity(indexes.len());
        candidates.extend(indexes.iter().filter_map(|index| {
            Some(Candidate {
                provider: market.provider(*index)?,
                model: market.model(*index)?,
                reason: reason(index.why, preferred, note.as_deref()),
            })
        }));
        Decision {
            candidates,
            steps,
            level: None,
        }
    }
}

fn reason<'a>(why: Why, preferred: &'a str, note: Option<&str>) -> Cow<'a, str> {
    let reason = match why {
        Why::Pinned => "model pinned by the job",
        Why::Hinted => "platform hinted by the job",
        Why::Preferred | Why::Able => preferred,
        Why::Local => "local platform, which the configuration prefers",
        Why::Fallback => "fallback provider of the configuration",
        Why::Cost => "cheapest enabled platform that is left",
    };
    match note {
        Some(note) => format!("{reason}; {note}").into(),
        None => reason.into(),
    }
}

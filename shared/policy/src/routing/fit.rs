//! Removes candidates that are too expensive or lack what a job needs.

use std::fmt;

use chrono::NaiveDate;
use longshore_protocol::{call::Usage, envelope::Envelope, money::Usd, platform::Capability};

use super::{
    PromptTokens, Router, StageName, Unroutable,
    draft::Draft,
    market::{CandidateIndex, Why},
};
use crate::{
    catalog::{ModelEntry, ProviderEntry},
    parameters::Asked,
};

/// The job types that write code. Models that are for analysis or research alone do not answer them.
const CODE_TYPES: [&str; 5] = [
    "code_generation",
    "refactoring",
    "testing",
    "debugging",
    "sql_db_work",
];

/// What a job needs of a model.
struct Needs<'a> {
    /// The most that its prompt may cost.
    max_cost: Option<Usd>,
    /// The day of the prices.
    day: NaiveDate,
    prompt: u64,
    /// Tokens of prompt and answer.
    window: u64,
    json_schema: bool,
    /// What it asks of a call beyond text.
    asked: Asked<'a>,
    /// Unless the job or a rule names the model or the platform.
    code: bool,
}

/// What a model lacks for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Lack {
    Money {
        prompt: Usd,
        limit: Usd,
    },
    Window {
        has: u64,
        needed: u64,
    },
    JsonSchema,
    /// A parameter of the call that it does not take, and why.
    Parameter(String),
    Code,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Money { prompt, limit } => {
                write!(
                    f,
                    "its prompt alone may cost ${prompt}, and ${limit} is allowed"
                )
            }
            Self::Window { has, needed } => {
                write!(
                    f,
                    "its window has {has} tokens, and up to {needed} are needed"
                )
            }
            Self::JsonSchema => f.write_str("it keeps to no JSON schema"),
            Self::Parameter(why) => f.write_str(why),
            Self::Code => f.write_str("it is not for code"),
        }
    }
}

impl<'a> Needs<'a> {
    fn of(
        envelope: &'a Envelope,
        prompt: PromptTokens,
        limit: Option<Usd>,
        day: NaiveDate,
    ) -> Self {
        let prompt = prompt.upper_bound;
        let answer = envelope.params.max_tokens.map_or(0, u64::from);
        Self {
            max_cost: match (limit, envelope.max_cost) {
                (Some(ours), Some(its)) => Some(ours.min(its)),
                (ours, its) => ours.or(its),
            },
            day,
            prompt,
            window: prompt.saturating_add(answer),
            json_schema: envelope.params.format_type() == Some("json_schema"),
            asked: Asked::of(envelope),
            code: CODE_TYPES.contains(&envelope.task_type.as_str()),
        }
    }

    fn too_dear(&self, model: &ModelEntry) -> Option<Lack> {
        let limit = self.max_cost?;
        let prompt = model.prices.at(self.day).cost(&Usage {
            input: self.prompt,
            ..Usage::default()
        });
        (prompt > limit).then_some(Lack::Money { prompt, limit })
    }

    fn unable(&self, provider: &ProviderEntry, model: &ModelEntry) -> Option<Lack> {
        // A model with unknown features is assumed to have them.
        let can = |one| model.untold || model.capabilities.contains(&one);
        if self.window > model.context_window {
            return Some(Lack::Window {
                has: model.context_window,
                needed: self.window,
            });
        }
        if self.json_schema && !can(Capability::JsonSchema) {
            return Some(Lack::JsonSchema);
        }
        self.asked.refused_by(provider, model).map(Lack::Parameter)
    }

    fn no_code(&self, model: &ModelEntry, why: Why) -> Option<Lack> {
        let is_named = matches!(why, Why::Pinned | Why::Hinted | Why::Preferred);
        let can = model.untold || model.capabilities.contains(&Capability::Code);
        (self.code && !is_named && !can).then_some(Lack::Code)
    }

    fn lack(&self, provider: &ProviderEntry, model: &ModelEntry, why: Why) -> Option<Lack> {
        self.too_dear(model)
            .or_else(|| self.unable(provider, model))
            .or_else(|| self.no_code(model, why))
    }
}

/// The result for a candidate.
enum Fit {
    Keep,
    /// Replaced by another model of its platform.
    Instead(CandidateIndex, Lack),
    Drop(Lack),
}

impl Router {
    /// Removes candidates that are too expensive or lack a feature. A platform whose model lacks a
    /// feature switches to another of its models, unless the job pins the model.
    pub(super) fn fit<'a>(
        &'a self,
        draft: &mut Draft<'a>,
        envelope: &Envelope,
        prompt: PromptTokens,
    ) -> Result<(), Unroutable> {
        let mut needs = Needs::of(envelope, prompt, self.max_cost, self.market.day);
        let lacks = |index: &CandidateIndex| self.lack(*index, &needs).is_some();
        if !draft.indexes.iter().any(lacks) {
            return Ok(());
        }
        let not_for_code = |index: &CandidateIndex| {
            let model = self.market.model(*index);
            model.is_some_and(|model| needs.no_code(model, index.why).is_some())
        };
        // Jobs that name no type count as code: whoever has only such models wants answers from them.
        if draft.indexes.iter().all(not_for_code) {
            draft.record(StageName::Needs, "no candidate is for code");
            needs.code = false;
        }
        let (mut fit, mut dropped, mut is_too_dear) = (Vec::new(), Vec::new(), true);
        for (at, index) in draft.indexes.clone().iter().enumerate() {
            let called = self.market.called(*index);
            match self.weighed(*index, &needs) {
                Fit::Keep => fit.push(*index),
                Fit::Instead(other, lack) => {
                    fit.push(other);
                    let other = self.market.called(other);
                    draft.record(lack.step(), format!("{other} instead of {called}: {lack}"));
                }
                Fit::Drop(lack) => {
                    let why = format!("{called}: {lack}");
                    is_too_dear &= lack.step() == StageName::MaxCost;
                    // A hint that was followed comes first.
                    if at == 0 && envelope.platform.is_some() && !envelope.fallback {
                        return Err(Unroutable {
                            is_too_dear,
                            ..Unroutable::alone(&why)
                        });
                    }
                    draft.record(lack.step(), format!("without {why}"));
                    dropped.push(why);
                }
            }
        }
        if fit.is_empty() {
            let error = format!("no candidate model can run the job: {}", dropped.join("; "));
            return Err(Unroutable { error, is_too_dear });
        }
        draft.indexes = fit.into();
        Ok(())
    }

    fn lack(&self, index: CandidateIndex, needs: &Needs<'_>) -> Option<Lack> {
        let (provider, model) = (self.market.provider(index)?, self.market.model(index)?);
        needs.lack(provider, model, index.why)
    }

    fn weighed(&self, index: CandidateIndex, needs: &Needs<'_>) -> Fit {
        let Some(lack) = self.lack(index, needs) else {
            return Fit::Keep;
        };
        if lack.step() == StageName::MaxCost || index.why == Why::Pinned {
            return Fit::Drop(lack);
        }
        let provider = self.market.provider(index);
        let fits = |model: &ModelEntry| {
            provider.is_some_and(|provider| needs.lack(provider, model, index.why).is_none())
        };
        match self.market.instead(index, fits) {
            Some(other) => Fit::Instead(other, lack),
            None => Fit::Drop(lack),
        }
    }
}

impl Lack {
    fn step(&self) -> StageName {
        match self {
            Self::Money { .. } => StageName::MaxCost,
            Self::Window { .. } | Self::JsonSchema | Self::Parameter(_) | Self::Code => {
                StageName::Needs
            }
        }
    }
}

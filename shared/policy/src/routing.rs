//! Routing: the candidates that may answer a job, in the order in which they are called.
//!
//! A decision passes these stages, each of which records its outcome: the job's pin (`model`) and hint
//! (`platform`), the rules, the tier that its risk and complexity require, the keywords of a prompt
//! without other inputs, the cost (free, subscription, paid; within each the cheapest first), local
//! platforms, the configured fallback, the job's maximum cost, and the features that it needs. Routing
//! uses no clock, Redis or provider: quotas and circuit breakers are applied later.

use std::{borrow::Cow, collections::HashSet, iter};

use chrono::NaiveDate;
use longshore_protocol::{
    envelope::{DEFAULT_TYPE, Envelope, RoutingInputs},
    money::Usd,
    platform::{PlatformName, Tier},
    string_enum,
};
use serde::Serialize;

use crate::{
    catalog::{Billing, Catalog, ModelEntry, ProviderEntry},
    tokens,
};

pub use settings::{Category, Conditions, Preference, REVIEW_TYPE, Routing, Rule};

use self::{
    draft::Draft,
    keywords::{Found, Keywords},
    market::Market,
    order::{Order, Orders},
    words::Words,
};

mod draft;
mod escalation;
mod fit;
mod hint;
mod keywords;
mod market;
mod order;
mod settings;
mod several;
mod words;

/// Why no candidate may answer a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Unroutable {
    /// What is wrong and what is expected.
    pub error: String,
    /// Whether every candidate would cost more than the job may.
    pub is_too_dear: bool,
}

impl Unroutable {
    /// The only allowed platform cannot be called.
    fn alone(why: &str) -> Self {
        Self::new(format!(
            "{why}, and the job allows no other (fallback: false)"
        ))
    }

    fn new(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            is_too_dear: false,
        }
    }
}

/// The length of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptTokens {
    pub upper_bound: u64,
}

/// A provider and model that may answer a job.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    pub provider: &'a ProviderEntry,
    pub model: &'a ModelEntry,
    /// Why it was chosen; stored with the attempt.
    pub reason: Cow<'a, str>,
}

string_enum! {
    /// A stage of a decision, in order.
    StageName {
        /// The model that the job requires.
        Pin = "pin",
        /// The platform that the job prefers.
        Hint = "hint",
        /// A rule on type, risk, area and complexity.
        Rule = "rule",
        /// The tier that risk and complexity require.
        Tier = "tier",
        /// The words of the prompt.
        Keywords = "keywords",
        /// The price.
        Cost = "cost",
        /// Local platforms first.
        Local = "prefer_local",
        /// The configured fallback.
        Fallback = "fallback_provider",
        /// The most that the job may cost.
        MaxCost = "max_cost",
        /// The features that the job needs.
        Needs = "needs",
        /// Whether other platforms may be tried.
        Only = "fallback",
        /// Models of lower tiers failed the job.
        Escalation = "escalation",
    }
}

/// A stage that influenced a decision, and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoutingStage<'a> {
    pub step: StageName,
    /// A short description.
    pub outcome: Cow<'a, str>,
}

/// The candidates that may answer a job.
#[derive(Debug, Clone)]
pub struct Decision<'a> {
    /// In the order in which they are called; never empty.
    pub candidates: Vec<Candidate<'a>>,
    /// The stages that influenced the order.
    pub steps: Cow<'a, [RoutingStage<'a>]>,
    /// The tier that the job has escalated to.
    pub level: Option<Tier>,
}

impl Decision<'_> {
    /// The tier that has failed when all candidates have: the one that the job has escalated to, or the
    /// lowest.
    pub fn tier(&self) -> Option<Tier> {
        let tiers = self.candidates.iter().map(|candidate| candidate.model.tier);
        self.level.or_else(|| tiers.min_by_key(|tier| tier.rank()))
    }
}

/// A rule's conditions, and its orders: for jobs that require no tier, and for those that require each.
type Ruled = (Conditions, Vec<Result<Order, String>>);

/// The orders of a category.
#[derive(Debug)]
struct CategoryOrders {
    name: String,
    answers: Result<Order, String>,
    /// For jobs that check an answer; `None` if the category names no validators.
    reviews: Option<Result<Order, String>>,
}

/// Routes jobs by the configuration. Whatever does not depend on the job is computed once.
#[derive(Debug)]
pub struct Router {
    market: Market,
    plain: Order,
    rules: Vec<Ruled>,
    words: Words,
    /// The types that a rule or a default names.
    known_types: HashSet<String>,
    /// The order of each tier.
    tiers: Vec<Result<Order, String>>,
    keywords: Option<Keywords>,
    categories: Vec<CategoryOrders>,
    /// The platforms that each category names.
    category_platforms: Vec<(String, Vec<PlatformName>)>,
    max_cost: Option<Usd>,
    estimate_threshold: u64,
}

impl Router {
    /// Builds a router with the prices of `day` and without models that are withdrawn by then.
    pub fn new(catalog: &Catalog, routing: &Routing, day: NaiveDate) -> Self {
        let market = Market::new(catalog.clone(), day);
        let orders = Orders::new(&market, routing);
        let rules = routing.rules.iter().map(|rule| {
            let name = format!("`{}`", rule.name);
            let tiers = iter::once(None).chain(Tier::ALL.iter().copied().map(Some));
            let orders = tiers.map(|tier| {
                let reason = format!("rule {name}");
                orders.preferring(&rule.prefer, StageName::Rule, &name, reason, tier)
            });
            (rule.when.clone(), orders.collect())
        });
        let tiers = Tier::ALL.iter().map(|tier| {
            let prefer = Preference::Able {
                platforms: Vec::new(),
                tier: Some(*tier),
                capability: None,
            };
            let reason = format!("cheapest of tier {tier} or above, for its risk and complexity");
            orders.preferring(
                &prefer,
                StageName::Tier,
                &format!("at least {tier}"),
                reason,
                Some(*tier),
            )
        });
        let categories = routing.categories.iter().map(|category| {
            let order_of = |platforms: &[PlatformName], reason: String| {
                let prefer = Preference::Able {
                    platforms: platforms.to_vec(),
                    tier: None,
                    capability: None,
                };
                orders.preferring(&prefer, StageName::Keywords, &category.name, reason, None)
            };
            let name = &category.name;
            let reviews = (!category.validators.is_empty())
                .then(|| order_of(&category.validators, format!("validator of {name}")));
            CategoryOrders {
                name: name.clone(),
                answers: order_of(&category.platforms, format!("keywords of {name}")),
                reviews,
            }
        });
        Self {
            plain: orders.plain(),
            rules: rules.collect(),
            words: Words::new(routing),
            known_types: routing.known_types().map(str::to_owned).collect(),
            tiers: tiers.collect(),
            keywords: Keywords::new(&routing.categories),
            categories: categories.collect(),
            category_platforms: routing
                .categories
                .iter()
                .map(|category| (category.name.clone(), category.platforms.clone()))
                .collect(),
            max_cost: routing.max_cost_per_task,
            estimate_threshold: routing.estimate_threshold,
            market,
        }
    }

    /// The number of platforms for a job without requirements.
    pub fn platforms(&self) -> usize {
        self.plain.indexes.len()
    }

    /// Whether a rule or a default names a type.
    pub fn knows_type(&self, task_type: &str) -> bool {
        self.known_types.contains(task_type)
    }

    /// The length of a job's prompt: its bytes, or, above the configured threshold, one and a half
    /// times the count of OpenAI's tokenizer, which covers all other known vocabularies. The result is
    /// for choosing a model only. What must hold for any text, such as a budget, uses
    /// [`tokens::Prompt::upper_bound`].
    pub fn measure(&self, envelope: &Envelope) -> PromptTokens {
        let prompt = tokens::Prompt::of(envelope);
        let most = prompt.expected_bound();
        let upper_bound = if most <= self.estimate_threshold {
            most
        } else {
            let estimate = prompt.estimate();
            most.min(estimate.saturating_add(estimate / 2))
        };
        PromptTokens { upper_bound }
    }

    /// Decides which candidates may answer a job with this prompt length.
    pub fn decide(
        &self,
        envelope: &Envelope,
        prompt: PromptTokens,
    ) -> Result<Decision<'_>, Unroutable> {
        let draft = self.draft(envelope, prompt)?;
        Ok(draft.decision(&self.market))
    }

    fn draft(&self, envelope: &Envelope, prompt: PromptTokens) -> Result<Draft<'_>, Unroutable> {
        let mut draft = match &envelope.model {
            Some(model) => self.pinned(model)?,
            None => self.chosen(envelope)?,
        };
        if let Some(hint) = &envelope.platform {
            self.hint(&mut draft, hint, envelope)?;
        }
        self.fit(&mut draft, envelope, prompt)?;
        if !envelope.fallback && draft.indexes.len() > 1 {
            draft.indexes.to_mut().truncate(1);
            draft.record(
                StageName::Only,
                "only the first candidate (fallback: false)",
            );
        }
        Ok(draft)
    }

    /// The free candidates that can answer the job, whatever its route; in order.
    pub fn free(&self, envelope: &Envelope, prompt: PromptTokens) -> Vec<Candidate<'_>> {
        let mut draft = Draft::like(&self.plain);
        draft.record_first(StageName::Cost, "a budget is exhausted: only free models");
        if self.fit(&mut draft, envelope, prompt).is_err() {
            return Vec::new();
        }
        let mut free = draft.decision(&self.market).candidates;
        free.retain(|candidate| candidate.provider.billing == Billing::Free);
        for candidate in &mut free {
            candidate.reason = "free, because a budget is exhausted".into();
        }
        free
    }

    fn pinned(&self, model: &str) -> Result<Draft<'_>, Unroutable> {
        let indexes = self.market.named(model).map_err(Unroutable::new)?;
        let mut draft = Draft::from_candidates(indexes);
        draft.record(StageName::Pin, "the job sets `model`");
        Ok(draft)
    }

    /// Chooses by rules, tier, keywords or cost.
    fn chosen(&self, envelope: &Envelope) -> Result<Draft<'_>, Unroutable> {
        if self.plain.indexes.is_empty() {
            return Err(self.no_candidate());
        }
        let tier = self.words.tier(&envelope.routing)?;
        let mut passed: Vec<(StageName, &str)> = Vec::new();
        let mut found: Option<&Order> = None;
        for (when, orders) in &self.rules {
            if when.fit(envelope) {
                match orders.get(tier.map_or(0, |tier| usize::from(tier.rank()) + 1)) {
                    Some(Ok(order)) => {
                        found = Some(order);
                        break;
                    }
                    Some(Err(why)) => passed.push((StageName::Rule, why)),
                    None => {}
                }
            }
        }
        if found.is_none()
            && let Some(tier) = tier
        {
            match self.tiers.get(usize::from(tier.rank())) {
                Some(Ok(order)) => found = Some(order),
                Some(Err(why)) => passed.push((StageName::Tier, why)),
                None => {}
            }
        }
        if found.is_none() && passed.is_empty() && says_nothing_else(envelope) {
            return Ok(self.by_keywords(envelope));
        }
        let mut draft = Draft::like(found.unwrap_or(&self.plain));
        for (step, why) in passed.into_iter().rev() {
            draft.record_first(step, why);
        }
        Ok(draft)
    }

    /// The category that the words of the prompt belong to.
    fn keywords_of(&self, envelope: &Envelope) -> Option<Found<'_>> {
        let prompt = envelope.messages.last()?;
        self.keywords.as_ref()?.find(&prompt.text())
    }

    fn by_keywords(&self, envelope: &Envelope) -> Draft<'_> {
        let found = self.keywords_of(envelope);
        let category = found
            .as_ref()
            .and_then(|found| self.categories.get(found.category));
        let (Some(found), Some(category)) = (found, category) else {
            return Draft::like(&self.plain);
        };
        let order = if envelope.task_type == REVIEW_TYPE {
            category.reviews.as_ref()
        } else {
            Some(&category.answers)
        };
        let Some(order) = order else {
            return Draft::like(&self.plain);
        };
        let name = &category.name;
        let mut draft = Draft::like(order.as_ref().unwrap_or(&self.plain));
        let words = format!("{name}, by: {}", found.words.join(", "));
        draft.record_first(StageName::Keywords, words);
        if let Err(why) = order {
            draft.record(StageName::Keywords, why.as_str());
        }
        draft
    }

    fn of_tier(&self, tier: Tier) -> Option<&Order> {
        self.tiers.get(usize::from(tier.rank()))?.as_ref().ok()
    }

    fn no_candidate(&self) -> Unroutable {
        match self.market.catalog.enabled().next() {
            Some(provider) => Unroutable::new(self.market.without_default(provider)),
            None => Unroutable::new(
                "no provider is on: set OPENAI_API_KEY, ANTHROPIC_API_KEY or GOOGLE_API_KEY, \
                 or add one under `providers:` in longshore.yaml",
            ),
        }
    }
}

/// Whether a job has no routing inputs besides its prompt. Who checks an answer follows from the prompt as well.
fn says_nothing_else(envelope: &Envelope) -> bool {
    let RoutingInputs {
        risk,
        area,
        complexity,
    } = &envelope.routing;
    let inputs = [risk, area, complexity, &envelope.platform];
    let has_no_type = [DEFAULT_TYPE, REVIEW_TYPE].contains(&envelope.task_type.as_str());
    has_no_type && inputs.into_iter().all(Option::is_none)
}

impl Conditions {
    fn fit(&self, envelope: &Envelope) -> bool {
        let fits = |words: &[String], said: Option<&str>| {
            words.is_empty()
                || said.is_some_and(|said| words.iter().any(|word| word.eq_ignore_ascii_case(said)))
        };
        let RoutingInputs {
            risk,
            area,
            complexity,
        } = &envelope.routing;
        fits(&self.risks, risk.as_deref())
            && fits(&self.areas, area.as_deref())
            && fits(&self.complexities, complexity.as_deref())
            && fits(&self.types, Some(&envelope.task_type))
    }
}

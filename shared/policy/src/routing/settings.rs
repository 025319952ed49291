//! What the configuration says of routing.

use longshore_protocol::{
    money::Usd,
    platform::{Capability, PlatformName, Tier},
};

/// What the configuration says of routing; the shipped rules and keywords are in `default.yaml`.
#[derive(Debug, Clone)]
pub struct Routing {
    /// The user's rules, then the shipped ones. The first that fits a job and whose platforms are on
    /// decides.
    pub rules: Vec<Rule>,
    /// Whether the shipped rules are among them. Default yes.
    pub default_rules: bool,
    /// The categories that prompts are sorted into by their words.
    pub categories: Vec<Category>,
    /// The tier that a word of `risk` or `complexity` asks for; words are in small letters.
    pub tiers: Vec<(String, Tier)>,
    /// Whether local platforms go before all others. Default no.
    pub prefer_local: bool,
    /// What one job may cost, unless it names less. Default: no limit.
    pub max_cost_per_task: Option<Usd>,
    /// The platform that is asked first when the preferred ones fail. Default: the cheapest.
    pub fallback_provider: Option<PlatformName>,
    /// Prompts that may have more tokens than this are counted by a tokenizer. Default 10,000.
    pub estimate_threshold: u64,
}

/// Who answers the jobs of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, for the record.
    pub name: String,
    /// The jobs.
    pub when: Conditions,
    /// Who answers them.
    pub prefer: Preference,
}

/// What a job must say for a rule to fit it: one word of each list that is not empty. Words are in
/// small letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Of its type.
    pub types: Vec<String>,
    /// Of its risk.
    pub risks: Vec<String>,
    /// Of its area.
    pub areas: Vec<String>,
    /// Of its complexity.
    pub complexities: Vec<String>,
}

/// Who is to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preference {
    /// This model, wherever it is served.
    Model(String),
    /// Models that are able enough: of each platform the cheapest.
    Able {
        /// At these platforms in this order; at all of them if it is empty, the cheapest first.
        platforms: Vec<PlatformName>,
        /// Of at least this tier.
        tier: Option<Tier>,
        /// Good at this.
        capability: Option<Capability>,
    },
}

/// A kind of task that a prompt's words tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// Its name.
    pub name: String,
    /// The words, in small letters.
    pub words: Vec<String>,
    /// The platforms that are asked first, in this order.
    pub platforms: Vec<PlatformName>,
}

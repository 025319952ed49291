//! Routing settings.

use longshore_protocol::{
    money::Usd,
    platform::{Capability, PlatformName, Tier},
};

/// Routing settings; `default.yaml` has the built-in rules and keywords.
#[derive(Debug, Clone)]
pub struct Routing {
    /// The user's rules, then the built-in ones. The first rule that matches the job and has an enabled
    /// platform decides.
    pub rules: Vec<Rule>,
    /// Whether the built-in rules are included. Default yes.
    pub default_rules: bool,
    /// The categories of prompts, by keywords.
    pub categories: Vec<Category>,
    /// The tier that a word of `risk` or `complexity` requires; words in lower case.
    pub tiers: Vec<(String, Tier)>,
    /// Whether local platforms come before all others. Default no.
    pub prefer_local: bool,
    /// The most that one job may cost, unless the job sets less. Default: no limit.
    pub max_cost_per_task: Option<Usd>,
    /// The shortest answer, in tokens, to which money may limit a call. Default 4,096.
    pub min_answer_tokens: u32,
    /// The first platform after the preferred ones. Default: the cheapest.
    pub fallback_provider: Option<PlatformName>,
    /// A tokenizer counts prompts that may have more tokens than this. Default 10,000.
    pub estimate_threshold: u64,
}

/// Which platforms answer a kind of job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The name shown in decisions.
    pub name: String,
    pub when: Conditions,
    pub prefer: Preference,
}

/// The conditions of a rule: each non-empty list must contain the job's value. Words are in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    pub types: Vec<String>,
    pub risks: Vec<String>,
    pub areas: Vec<String>,
    pub complexities: Vec<String>,
}

/// The preferred platforms or model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preference {
    /// This model at any platform that serves it.
    Model(String),
    /// The cheapest suitable model of each platform.
    Able {
        /// These platforms in this order; if empty, all platforms, cheapest first.
        platforms: Vec<PlatformName>,
        /// The lowest tier.
        tier: Option<Tier>,
        /// A required capability.
        capability: Option<Capability>,
    },
}

/// A kind of task that is recognized by words of the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    pub name: String,
    /// Keywords in lower case.
    pub words: Vec<String>,
    /// The platforms to call first, in this order.
    pub platforms: Vec<PlatformName>,
    /// The platforms to call first for jobs of type [`REVIEW_TYPE`]; none: all, cheapest first.
    pub validators: Vec<PlatformName>,
}

/// The type of jobs that check the answer of another one.
pub const REVIEW_TYPE: &str = "review";

//! The words of the catalog.

use serde::{Deserialize, Serialize};

use crate::state::words;

words! {
    /// The language that a provider's API speaks.
    DialectName {
        /// Chat completions, as OpenAI and most others have them.
        OpenAi = "openai",
        /// Anthropic's messages.
        Anthropic = "anthropic",
        /// Gemini's `generateContent`.
        Gemini = "gemini",
        /// Ollama's chat.
        Ollama = "ollama",
        /// A program on this machine.
        Cli = "cli",
    }
}

words! {
    /// How able, and how dear, a model is.
    Tier {
        /// Small, quick and cheap.
        Fast = "fast",
        /// In between.
        Standard = "standard",
        /// The most able.
        Advanced = "advanced",
    }
}

words! {
    /// What a model is good at, or can do.
    Capability {
        /// Code generation and editing.
        Code = "code",
        /// Analysis and understanding.
        Analysis = "analysis",
        /// Strategic planning and architecture.
        Planning = "planning",
        /// Review of code and plans.
        Review = "review",
        /// Advanced reasoning.
        ComplexReasoning = "complex_reasoning",
        /// Documentation.
        Docs = "docs",
        /// Simple, routine tasks.
        SimpleTasks = "simple_tasks",
        /// Calls tools.
        Tools = "tools",
        /// Keeps to a JSON schema.
        JsonSchema = "json_schema",
    }
}

impl Tier {
    /// What a model of this tier is good at, where nothing is said of it: the kinds of work, not what
    /// its API can do.
    pub fn capabilities(self) -> &'static [Capability] {
        use Capability::{Analysis, Code, ComplexReasoning, Docs, Planning, Review, SimpleTasks};
        match self {
            Self::Fast => &[Code, Docs, SimpleTasks],
            Self::Standard => &[Code, Analysis, Planning, Review, Docs, SimpleTasks],
            Self::Advanced => &[Code, Analysis, Planning, Review, ComplexReasoning, Docs],
        }
    }
}

words! {
    /// What to do about a model without a price.
    UnknownPrice {
        /// It is not offered: what it spends could not be told.
        Refuse = "refuse",
        /// It counts as free.
        Zero = "zero",
    }
}

words! {
    /// How a provider is paid: the order in which platforms are asked.
    Billing {
        /// Nothing, within its quota.
        Free = "free",
        /// Already paid for.
        Subscription = "subscription",
        /// By the token.
        Paid = "paid",
    }
}

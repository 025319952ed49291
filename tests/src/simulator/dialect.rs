//! The three ways of speaking to a provider.

use serde::{Deserialize, Serialize};

/// A provider's HTTP dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// OpenAI chat completions, and everyone who copies them.
    Openai,
    /// Anthropic messages.
    Anthropic,
    /// Gemini `generateContent`.
    Gemini,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Openai, Self::Anthropic, Self::Gemini];
}

/// One value for each dialect.
#[derive(Debug, Default)]
pub(super) struct PerDialect<T> {
    openai: T,
    anthropic: T,
    gemini: T,
}

impl<T> PerDialect<T> {
    pub(super) fn of(&self, dialect: Dialect) -> &T {
        match dialect {
            Dialect::Openai => &self.openai,
            Dialect::Anthropic => &self.anthropic,
            Dialect::Gemini => &self.gemini,
        }
    }
}

//! The three HTTP dialects of providers.

use serde::{Deserialize, Serialize};

/// A provider's HTTP dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// OpenAI chat completions and compatible APIs.
    Openai,
    /// Anthropic messages.
    Anthropic,
    /// Gemini `generateContent`.
    Gemini,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Openai, Self::Anthropic, Self::Gemini];

    /// The name of the provider that a path without a name belongs to.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    /// The prefix of its paths below the simulator's address: the end of a provider's `base_url`.
    pub(super) fn base(self) -> &'static str {
        match self {
            Self::Openai => "openai/v1",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }
}

//! The service behind a provider: its API, and how it differs from others with the same dialect.

use super::{DialectName, ProviderEntry};

/// The service, where it changes requests, their parameters or the meaning of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// OpenAI itself.
    OpenAi,
    Xai,
    OpenRouter,
    DeepSeek,
    Moonshot,
    Zhipu,
    MiniMax,
    /// Any other service with OpenAI's dialect.
    Other,
    Anthropic,
    Gemini,
    Ollama,
    /// A command-line tool.
    Cli,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 12] = [
        Self::OpenAi,
        Self::Xai,
        Self::OpenRouter,
        Self::DeepSeek,
        Self::Moonshot,
        Self::Zhipu,
        Self::MiniMax,
        Self::Other,
        Self::Anthropic,
        Self::Gemini,
        Self::Ollama,
        Self::Cli,
    ];

    /// The service of a provider.
    pub fn of(provider: &ProviderEntry) -> Self {
        match provider.dialect {
            DialectName::OpenAi => {
                Self::identify(provider.name.as_str(), provider.base_url.host_str())
            }
            DialectName::Anthropic => Self::Anthropic,
            DialectName::Gemini => Self::Gemini,
            DialectName::Ollama => Self::Ollama,
            DialectName::Cli => Self::Cli,
        }
    }

    /// The service with OpenAI's dialect of the provider with this name at this host. A provider called `openai` at
    /// another host is a gateway, which may not support what OpenAI does.
    pub fn identify(provider: &str, host: Option<&str>) -> Self {
        match (provider, host) {
            (_, Some("api.openai.com")) => Self::OpenAi,
            ("xai", _) | (_, Some("api.x.ai")) => Self::Xai,
            ("openrouter", _) | (_, Some("openrouter.ai")) => Self::OpenRouter,
            ("deepseek", _) | (_, Some("api.deepseek.com")) => Self::DeepSeek,
            ("moonshot", _) | (_, Some("api.moonshot.ai" | "api.moonshot.cn")) => Self::Moonshot,
            ("zhipu", _) | (_, Some("api.z.ai" | "open.bigmodel.cn")) => Self::Zhipu,
            ("minimax", _) | (_, Some("api.minimax.io" | "api.minimaxi.com")) => Self::MiniMax,
            _ => Self::Other,
        }
    }
}

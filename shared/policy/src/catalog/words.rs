//! The words of the catalog.

use longshore_protocol::string_enum;

string_enum! {
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

string_enum! {
    /// What to do about a model without a price.
    UnknownPrice {
        /// It is not offered: what it spends could not be told.
        Refuse = "refuse",
        /// It counts as free.
        Zero = "zero",
    }
}

string_enum! {
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

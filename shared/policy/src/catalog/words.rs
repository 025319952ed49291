//! Enums of the catalog file.

use longshore_protocol::string_enum;

string_enum! {
    /// The API format of a provider.
    DialectName {
        /// Chat completions, used by OpenAI and most others.
        OpenAi = "openai",
        /// Anthropic's Messages API.
        Anthropic = "anthropic",
        /// Gemini's `generateContent`.
        Gemini = "gemini",
        /// Ollama's chat API.
        Ollama = "ollama",
        /// A program on this machine.
        Cli = "cli",
    }
}

string_enum! {
    /// What to do with a model without a price.
    UnknownPrice {
        /// It is not offered, because its cost would be unknown.
        Refuse = "refuse",
        /// It counts as free.
        Zero = "zero",
    }
}

string_enum! {
    /// What the cost of an answer in the ledger comes from.
    CostSource {
        /// The prices of its model.
        Prices = "prices",
        /// The answer itself, for providers that report what they charge; without such a report, the prices.
        Provider = "provider",
    }
}

string_enum! {
    /// How a provider is paid. Routing prefers the platforms in this order.
    Billing {
        /// Free within its quota.
        Free = "free",
        /// Covered by a subscription.
        Subscription = "subscription",
        /// Billed by token.
        Paid = "paid",
    }
}

//! Meter names for people.

use std::fmt;

/// The name of a meter as in Redis: `rpm:openai`, `budget:team:acme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeterName<'a> {
    kind: &'a str,
    of: &'a str,
}

impl<'a> MeterName<'a> {
    /// Splits a name.
    pub fn parse(name: &'a str) -> Self {
        let (kind, of) = name.split_once(':').unwrap_or((name, ""));
        Self { kind, of }
    }

    /// Whether the meter is a sum within a window: once it is used up, it stays so until the window
    /// ends.
    pub fn is_window(&self) -> bool {
        matches!(self.kind, "rpd" | "usd" | "budget")
    }

    /// The account or budget: `openai`, `team:acme`.
    pub fn subject(&self) -> &'a str {
        self.of
    }

    /// The name without tenant or chain, for labels of low cardinality.
    pub fn shared(&self) -> String {
        let of = match self.what() {
            Some(_) => self.of,
            None => self
                .of
                .split_once(':')
                .map_or(self.of, |(budget, _)| budget),
        };
        format!("{}:{of}", self.kind)
    }

    /// The limit of an account in words; `None` for a budget.
    pub fn what(&self) -> Option<&'static str> {
        Some(match self.kind {
            "rpm" => "requests a minute",
            "tpm" => "tokens a minute",
            "rpd" => "requests a day",
            "usd" => "dollars a month",
            "slots" => "calls at once",
            _ => return None,
        })
    }
}

impl fmt::Display for MeterName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.of;
        match (self.what(), of.split_once(':')) {
            (None, Some(("~chain", chain))) => write!(f, "the max_cost_usd of the chain {chain}"),
            (Some(what), _) => write!(f, "{of}'s {what}"),
            (None, Some((budget, whose))) => write!(f, "the budget {budget} of {whose}"),
            (None, None) => write!(f, "the budget {of}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_part_it_is_can_be_left_out() {
        let shared = |name| MeterName::parse(name).shared();
        assert_eq!(shared("rpd:openai"), "rpd:openai");
        assert_eq!(shared("budget:all"), "budget:all");
        assert_eq!(shared("budget:team:acme:eu"), "budget:team");
    }

    #[test]
    fn limits_have_names_for_people() {
        let words = |name| MeterName::parse(name).to_string();
        assert_eq!(words("rpm:openai"), "openai's requests a minute");
        assert_eq!(words("slots:xai"), "xai's calls at once");
        assert_eq!(words("budget:all"), "the budget all");
        assert_eq!(words("budget:~chain:x"), "the max_cost_usd of the chain x");
        assert_eq!(words("budget:team:acme:eu"), "the budget team of acme:eu");
    }
}

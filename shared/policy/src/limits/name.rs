//! Meter names for people.

use std::fmt;

/// The kinds of a queue's meters.
pub(super) const QUEUE_RATE: &str = "queue_rpm";
pub(super) const QUEUE_SLOTS: &str = "queue_slots";

/// The name of a meter as in Redis: `rpm:openai`, `budget:team:acme`, `queue_slots:bulk`.
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

    /// The queue, if the meter is of its own limits, which are the same for every platform.
    pub fn queue(&self) -> Option<&'a str> {
        matches!(self.kind, QUEUE_RATE | QUEUE_SLOTS).then_some(self.of)
    }

    /// The account, budget or queue: `openai`, `team:acme`, `bulk`.
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

    /// The limit of an account or a queue in words; `None` for a budget.
    pub fn what(&self) -> Option<&'static str> {
        Some(match self.kind {
            "rpm" | QUEUE_RATE => "requests a minute",
            "tpm" => "tokens a minute",
            "rpd" => "requests a day",
            "usd" => "dollars a month",
            "slots" | QUEUE_SLOTS => "calls at once",
            _ => return None,
        })
    }
}

impl fmt::Display for MeterName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.of;
        match (self.what(), of.split_once(':')) {
            (None, Some(("~chain", chain))) => write!(f, "the max_cost_usd of the chain {chain}"),
            (Some(what), _) if self.queue().is_some() => write!(f, "queue {of}'s {what}"),
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
    fn the_meters_of_a_queue_name_it() {
        let queue = |name| MeterName::parse(name).queue();
        assert_eq!(queue("queue_rpm:bulk"), Some("bulk"));
        assert_eq!(queue("queue_slots:bulk"), Some("bulk"));
        assert_eq!(queue("slots:bulk"), None);
        assert_eq!(queue("budget:queue_slots:x"), None);
    }

    #[test]
    fn limits_have_names_for_people() {
        let words = |name| MeterName::parse(name).to_string();
        assert_eq!(words("rpm:openai"), "openai's requests a minute");
        assert_eq!(words("slots:xai"), "xai's calls at once");
        assert_eq!(words("queue_slots:bulk"), "queue bulk's calls at once");
        assert_eq!(words("queue_rpm:a.b"), "queue a.b's requests a minute");
        assert_eq!(words("budget:all"), "the budget all");
        assert_eq!(words("budget:~chain:x"), "the max_cost_usd of the chain x");
        assert_eq!(words("budget:team:acme:eu"), "the budget team of acme:eu");
    }
}

//! The queues that a worker reads, and how they share it.

use std::fmt;

use longshore_protocol::{id::QueueName, string_enum};

/// The greatest weight of a queue.
pub const MOST_WEIGHT: u32 = 1_000;

string_enum! {
    /// Which queue's jobs go first when several have some.
    QueueOrder {
        /// Queues share the worker by their weights.
        Weighted = "weighted",
        /// No job of a queue is pulled while one before it in the list has available jobs.
        Strict = "strict",
    }
}

/// A queue, and its share of a worker that reads several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueShare {
    pub queue: QueueName,
    /// From 1 to [`MOST_WEIGHT`].
    pub weight: u32,
}

impl QueueShare {
    /// Parses `NAME` (weight 1) or `NAME=WEIGHT`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, weight) = match text.split_once('=') {
            Some((name, weight)) => (name.trim_end(), weight.trim_start().parse().ok()?),
            None => (text, 1),
        };
        Some(Self {
            queue: QueueName::parse(name).ok()?,
            weight: Some(weight).filter(|weight| (1..=MOST_WEIGHT).contains(weight))?,
        })
    }
}

impl From<QueueName> for QueueShare {
    fn from(queue: QueueName) -> Self {
        Self { queue, weight: 1 }
    }
}

impl fmt::Display for QueueShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.weight {
            1 => self.queue.fmt(f),
            weight => write!(f, "{}={weight}", self.queue),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_follows_the_name() {
        for (text, shown) in [
            ("bulk", Some("bulk")),
            ("bulk=1", Some("bulk")),
            ("a.b-c = 6", Some("a.b-c=6")),
            ("bulk=1000", Some("bulk=1000")),
            ("bulk=0", None),
            ("bulk=1001", None),
            ("bulk=1.5", None),
            ("bulk=", None),
            ("=3", None),
            ("two words=3", None),
        ] {
            let parsed = QueueShare::parse(text).map(|share| share.to_string());
            assert_eq!(parsed.as_deref(), shown, "{text}");
        }
    }
}

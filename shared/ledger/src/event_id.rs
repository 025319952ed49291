//! The ids of stream entries, which are the versions of the facts in them.

use std::{fmt, str::FromStr};

/// The id of an entry of the events stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId {
    /// Milliseconds since 1970, by the clock of Redis.
    pub ms: u64,
    /// The number of the entry within its millisecond.
    pub seq: u64,
}

/// The text is not the id of a stream entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of a stream entry")]
pub struct BadEventId(String);

/// The bits of a version that contain the sequence number.
const SEQ_BITS: u32 = 20;

impl EventId {
    /// The id as one number of the same order. A sequence number of more than 20 bits, or a year after 2248, is
    /// clamped.
    pub fn version(self) -> i64 {
        let ms = i64::try_from(self.ms)
            .unwrap_or(i64::MAX)
            .min(i64::MAX >> SEQ_BITS);
        let highest = (1 << SEQ_BITS) - 1;
        let seq = i64::try_from(self.seq).unwrap_or(highest).min(highest);
        (ms << SEQ_BITS) | seq
    }
}

impl FromStr for EventId {
    type Err = BadEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('-');
        parts
            .and_then(|(ms, seq)| {
                Some(Self {
                    ms: ms.parse().ok()?,
                    seq: seq.parse().ok()?,
                })
            })
            .ok_or_else(|| BadEventId(text.chars().take(60).collect()))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_of_the_ids() {
        let ids = [
            "0-1",
            "1-0",
            "1-1",
            "1-1048575",
            "2-0",
            "1795232878059-0",
            "1795232878059-3",
        ];
        let versions: Vec<i64> = ids
            .iter()
            .map(|id| id.parse::<EventId>().unwrap().version())
            .collect();
        assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    }

    #[test]
    fn the_largest_id_is_the_largest_version() {
        let largest = EventId {
            ms: u64::MAX,
            seq: u64::MAX,
        };
        assert_eq!(largest.version(), i64::MAX);
        assert_eq!(largest.to_string().parse(), Ok(largest));
    }

    #[test]
    fn invalid_ids_are_rejected() {
        for text in ["", "1", "-1", "1-", "a-1", "1-1-1"] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }
}

//! The names of things: jobs, attempts, workers, queues, namespaces.
//!
//! Each is parsed once at the edge and trusted inside. The forms are part of the protocol
//! (`docs/PROTOCOL.md`).

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What stands before a queue's name in that of the stream beside it.
const READY: char = '~';

/// The queue that a message goes to when nothing else is said.
pub const DEFAULT_QUEUE: &str = "default";

/// A name that is not of the allowed form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{value}` is not valid: expected {expected}")]
pub struct BadName {
    what: &'static str,
    value: String,
    expected: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// A job's identity: its producer's own, or the place that it was enqueued at.
    JobId
}
text_id! {
    /// The name of a queue: 1 to 64 characters of `[A-Za-z0-9._-]`.
    QueueName
}
text_id! {
    /// The name of a recurring job: 1 to 64 characters of `[A-Za-z0-9._-]`.
    CronName
}
text_id! {
    /// One run of one worker process; never used again after it ends.
    WorkerId
}
text_id! {
    /// Everything of one deployment in one Redis; the hash tag of all its keys.
    Namespace
}
text_id! {
    /// Where a message stands: the stream entry's id, with the queue's name before it in any queue
    /// but `default`. Two streams may give the same entry id; a place is unique in its namespace.
    Place
}

fn allowed(value: &str, longest: usize, punctuation: &str) -> bool {
    (1..=longest).contains(&value.len())
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || punctuation.contains(c))
}

fn is_entry_id(value: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    value
        .split_once('-')
        .is_some_and(|(ms, seq)| digits(ms) && digits(seq))
}

impl JobId {
    /// A producer's own id: 1 to 128 characters of `[A-Za-z0-9._:@/-]`.
    pub fn parse(value: &str) -> Result<Self, BadName> {
        if allowed(value, 128, "._:@/-") {
            Ok(Self(value.to_owned()))
        } else {
            Err(BadName {
                what: "job id",
                value: value.chars().take(140).collect(),
                expected: "1 to 128 characters of [A-Za-z0-9._:@/-]",
            })
        }
    }

    /// The id of a job whose producer named none.
    pub fn of_place(place: &Place) -> Self {
        Self(place.0.clone())
    }

    /// One that nobody has.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// The id of a chain, where a job's is asked for; the name is checked already.
    pub(crate) fn of_chain(chain: &str) -> Self {
        Self(chain.to_owned())
    }

    /// The id of a job that runs a step of a chain; both names are checked already.
    pub(crate) fn of_step(chain: &str, instance: &str) -> Self {
        Self(format!("{chain}/{instance}"))
    }

    /// Whether this is the form that the server gives; producers may not choose such an id.
    pub fn is_server_form(&self) -> bool {
        let entry = self
            .0
            .rsplit_once(':')
            .map_or(self.0.as_str(), |(queue, entry)| {
                if QueueName::parse(queue).is_ok() {
                    entry
                } else {
                    ""
                }
            });
        is_entry_id(entry)
    }
}

impl Place {
    /// The place of `entry` in `queue`.
    pub fn new(queue: &QueueName, entry: &str) -> Self {
        if queue.as_str() == DEFAULT_QUEUE {
            Self(entry.to_owned())
        } else {
            Self(format!("{queue}:{entry}"))
        }
    }

    /// The queue and the entry's id that this place names.
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or((DEFAULT_QUEUE, &self.0))
    }

    /// When the server received what stands here: an entry's id begins with the time in ms.
    pub fn received_at(&self) -> Option<DateTime<Utc>> {
        let (ms, _) = self.parts().1.split_once('-')?;
        DateTime::from_timestamp_millis(ms.parse().ok()?)
    }

    /// A place out of our own records.
    pub fn from_record(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl QueueName {
    /// Checks the form of a queue's name.
    pub fn parse(value: &str) -> Result<Self, BadName> {
        if allowed(value, 64, "._-") {
            Ok(Self(value.to_owned()))
        } else {
            Err(BadName {
                what: "queue name",
                value: value.chars().take(80).collect(),
                expected: "1 to 64 characters of [A-Za-z0-9._-]",
            })
        }
    }
}

impl QueueName {
    /// The stream beside the queue for jobs that come out of a lane: it is read before the new ones. No
    /// queue of a producer's can have such a name.
    #[must_use]
    pub fn ready(&self) -> Self {
        if self.is_ready() {
            self.clone()
        } else {
            Self(format!("{READY}{}", self.0))
        }
    }

    /// Whether this is such a stream.
    pub fn is_ready(&self) -> bool {
        self.0.starts_with(READY)
    }

    /// The queue itself.
    #[must_use]
    pub fn base(&self) -> Self {
        Self(self.0.trim_start_matches(READY).to_owned())
    }

    /// A queue or the stream beside it, out of our own records.
    pub fn from_record(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl CronName {
    /// Checks the form of a recurring job's name: as a queue's.
    pub fn parse(value: &str) -> Result<Self, BadName> {
        if allowed(value, 64, "._-") {
            Ok(Self(value.to_owned()))
        } else {
            Err(BadName {
                what: "recurring job",
                value: value.chars().take(80).collect(),
                expected: "a name of 1 to 64 characters of [A-Za-z0-9._-]",
            })
        }
    }

    /// A name out of our own records.
    pub fn from_record(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl Default for QueueName {
    fn default() -> Self {
        Self(DEFAULT_QUEUE.to_owned())
    }
}

impl Namespace {
    /// Checks the form of a namespace: as a queue's name.
    pub fn parse(value: &str) -> Result<Self, BadName> {
        if allowed(value, 64, "._-") {
            Ok(Self(value.to_owned()))
        } else {
            Err(BadName {
                what: "namespace",
                value: value.chars().take(80).collect(),
                expected: "1 to 64 characters of [A-Za-z0-9._-], without the braces",
            })
        }
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("longshore".to_owned())
    }
}

impl WorkerId {
    /// A fresh id: host, process and a random part, so that no two runs ever share one.
    pub fn fresh() -> Self {
        let host = host_name();
        let random = Uuid::now_v7().simple().to_string();
        let tail: String = random.chars().skip(20).collect();
        Self(format!("{host}-{}-{tail}", std::process::id()))
    }

    /// A worker's id out of our own records.
    pub fn from_record(value: &str) -> Self {
        Self(value.to_owned())
    }
}

/// The machine's name, in letters, digits and hyphens.
pub fn host_name() -> String {
    let name: String = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap_or_default()
        .trim()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(40)
        .collect();
    if name.is_empty() {
        "host".to_owned()
    } else {
        name
    }
}

/// One call to a provider; also the idempotency key that the provider sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub Uuid);

impl AttemptId {
    /// A fresh id, ordered by time (`UUIDv7`).
    #[expect(
        clippy::new_without_default,
        reason = "a default id would not be a default"
    )]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// When it was made: ids are ordered by time.
    pub fn made_at(&self) -> Option<DateTime<Utc>> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_queue_leaves_the_receipt_as_it_is() {
        let place = Place::new(&QueueName::default(), "1795232878059-0");
        assert_eq!(place.as_str(), "1795232878059-0");
        assert_eq!(place.parts(), ("default", "1795232878059-0"));
    }

    #[test]
    fn other_queues_stand_before_the_receipt() {
        let place = Place::new(&QueueName::parse("bulk").unwrap(), "1-2");
        assert_eq!(place.as_str(), "bulk:1-2");
        assert_eq!(place.parts(), ("bulk", "1-2"));
    }

    #[test]
    fn server_forms_are_told_from_own_ids() {
        for id in ["1795232878059-0", "bulk:1-2", "0-1"] {
            assert!(JobId::parse(id).unwrap().is_server_form(), "{id}");
        }
        for id in ["inv-42", "1795232878059", "a:b:1-2-3", "x@1-2", "-1", "1-"] {
            assert!(!JobId::parse(id).unwrap().is_server_form(), "{id}");
        }
    }

    #[test]
    fn names_are_checked() {
        assert!(QueueName::parse("").is_err());
        assert!(QueueName::parse("a:b").is_err());
        assert!(QueueName::parse(&"x".repeat(65)).is_err());
        assert!(JobId::parse("ä").is_err());
        assert!(JobId::parse(&"x".repeat(129)).is_err());
        assert!(Namespace::parse("{x}").is_err());
    }
}

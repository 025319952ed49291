//! Identifiers: jobs, attempts, workers, queues, namespaces.
//!
//! Each is parsed once at the boundary and trusted inside. The forms are part of the protocol
//! (`docs/PROTOCOL.md`).

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Prefix of the name of a queue's ready stream.
const READY: char = '~';

/// The queue of messages that name none.
pub const DEFAULT_QUEUE: &str = "default";

/// A name of an invalid form.
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
    /// The id of a job: the producer's own, or the id of the entry that it was enqueued as.
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
    /// A digest of a provider's address and key, as 4 hex digits.
    AccessDigest
}
text_id! {
    /// The name of those who may read some replies: 1 to 64 characters of `[A-Za-z0-9_-]`.
    ReaderName
}
text_id! {
    /// One run of a worker process; never reused.
    WorkerId
}
text_id! {
    /// The namespace of one deployment in a Redis; the hash tag of all its keys.
    Namespace
}
text_id! {
    /// An entry id: the id of a stream entry, prefixed with the queue's name unless the queue is
    /// `default`. Two streams may assign the same id; the entry id is unique within its namespace.
    EntryId
}

fn allowed(value: &str, longest: usize, punctuation: &str) -> bool {
    (1..=longest).contains(&value.len())
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || punctuation.contains(c))
}

/// A name of 1 to 64 letters, digits and these signs.
fn short_name(
    value: &str,
    punctuation: &str,
    what: &'static str,
    expected: &'static str,
) -> Result<String, BadName> {
    if allowed(value, 64, punctuation) {
        Ok(value.to_owned())
    } else {
        Err(BadName {
            what,
            value: value.chars().take(80).collect(),
            expected,
        })
    }
}

fn is_entry_id(value: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    value
        .split_once('-')
        .is_some_and(|(ms, seq)| digits(ms) && digits(seq))
}

impl JobId {
    /// Parses a producer's own id: 1 to 128 characters of `[A-Za-z0-9._:@/-]`.
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

    /// An id that Longshore stored.
    pub fn from_stored(value: &str) -> Self {
        Self(value.to_owned())
    }

    /// The id of a job whose producer set none.
    pub fn from_entry(entry_id: &EntryId) -> Self {
        Self(entry_id.0.clone())
    }

    /// A new unique id.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// The id under which a chain's outcome is stored. The chain's id is already valid.
    pub(crate) fn of_chain(chain: &str) -> Self {
        Self(chain.to_owned())
    }

    /// The id of a job that runs a chain step. Both names are already valid.
    pub(crate) fn of_step(chain: &str, instance: &str) -> Self {
        Self(format!("{chain}/{instance}"))
    }

    /// Whether the id has the form that the server assigns, which producers may not choose.
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

impl EntryId {
    /// Parses an entry id: `1795232878059-0`, or `QUEUE:1795232878059-0` for queues other than `default`, where
    /// `~QUEUE` is the ready stream of a queue.
    pub fn parse(value: &str) -> Result<Self, BadName> {
        let (queue, entry) = value.split_once(':').unwrap_or((DEFAULT_QUEUE, value));
        let queue = queue.strip_prefix(READY).unwrap_or(queue);
        if is_entry_id(entry) && QueueName::parse(queue).is_ok() {
            Ok(Self(value.to_owned()))
        } else {
            Err(BadName {
                what: "entry id",
                value: value.chars().take(140).collect(),
                expected: "an entry id such as 1795232878059-0 or bulk:1795232878059-0",
            })
        }
    }

    /// The entry id of the stream entry `entry` in `queue`.
    pub fn new(queue: &QueueName, entry: &str) -> Self {
        if queue.as_str() == DEFAULT_QUEUE {
            Self(entry.to_owned())
        } else {
            Self(format!("{queue}:{entry}"))
        }
    }

    /// The queue and the id of the stream entry.
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or((DEFAULT_QUEUE, &self.0))
    }

    /// When the server received the entry: a stream id begins with the time in ms.
    pub fn received_at(&self) -> Option<DateTime<Utc>> {
        let (ms, _) = self.parts().1.split_once('-')?;
        DateTime::from_timestamp_millis(ms.parse().ok()?)
    }

    /// An entry id from Longshore's own data; not checked.
    pub fn from_stored(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl AccessDigest {
    /// The digest of this value.
    pub fn new(digest: u16) -> Self {
        Self(format!("{digest:04x}"))
    }

    /// A digest that Longshore stored.
    pub fn from_stored(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl ReaderName {
    /// Parses a reader's name. It has no colon, so no name and job id together read like another pair.
    pub fn parse(value: &str) -> Result<Self, BadName> {
        short_name(
            value,
            "_-",
            "reader of replies",
            "1 to 64 characters of [A-Za-z0-9_-]",
        )
        .map(Self)
    }
}

impl QueueName {
    /// Parses a queue's name.
    pub fn parse(value: &str) -> Result<Self, BadName> {
        short_name(
            value,
            "._-",
            "queue name",
            "1 to 64 characters of [A-Za-z0-9._-]",
        )
        .map(Self)
    }
}

impl QueueName {
    /// The ready stream next to the queue, which holds jobs from lanes and is read before new jobs. No
    /// producer can use its name.
    #[must_use]
    pub fn ready(&self) -> Self {
        if self.is_ready() {
            self.clone()
        } else {
            Self(format!("{READY}{}", self.0))
        }
    }

    /// Whether this is a ready stream.
    pub fn is_ready(&self) -> bool {
        self.0.starts_with(READY)
    }

    /// The queue itself.
    #[must_use]
    pub fn base(&self) -> Self {
        Self(self.0.trim_start_matches(READY).to_owned())
    }

    /// A queue or its ready stream from Longshore's own data; not checked.
    pub fn from_stored(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl CronName {
    /// Parses the name of a recurring job: the form of a queue name.
    pub fn parse(value: &str) -> Result<Self, BadName> {
        short_name(
            value,
            "._-",
            "recurring job",
            "a name of 1 to 64 characters of [A-Za-z0-9._-]",
        )
        .map(Self)
    }

    /// A name from Longshore's own data; not checked.
    pub fn from_stored(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl Default for QueueName {
    fn default() -> Self {
        Self(DEFAULT_QUEUE.to_owned())
    }
}

impl Namespace {
    /// Parses a namespace: the form of a queue name.
    pub fn parse(value: &str) -> Result<Self, BadName> {
        short_name(
            value,
            "._-",
            "namespace",
            "1 to 64 characters of [A-Za-z0-9._-], without the braces",
        )
        .map(Self)
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("longshore".to_owned())
    }
}

impl WorkerId {
    /// A new unique id: host, process and a random part.
    pub fn fresh() -> Self {
        let host = host_name();
        let random = Uuid::now_v7().simple().to_string();
        let tail: String = random.chars().skip(20).collect();
        Self(format!("{host}-{}-{tail}", std::process::id()))
    }

    /// A worker's id from Longshore's own data; not checked.
    pub fn from_stored(value: &str) -> Self {
        Self(value.to_owned())
    }
}

/// The host name, reduced to letters, digits and hyphens.
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

/// One call to a provider; the provider sees it as idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub Uuid);

impl AttemptId {
    /// A new id, ordered by time (`UUIDv7`).
    #[expect(
        clippy::new_without_default,
        reason = "a default id would not be a default"
    )]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// When the id was created.
    pub fn made_at(&self) -> Option<DateTime<Utc>> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    }
}

/// The id of an act: a command that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActId(pub Uuid);

impl ActId {
    /// A new unique id.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for ActId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
        let entry_id = EntryId::new(&QueueName::default(), "1795232878059-0");
        assert_eq!(entry_id.as_str(), "1795232878059-0");
        assert_eq!(entry_id.parts(), ("default", "1795232878059-0"));
    }

    #[test]
    fn other_queues_stand_before_the_receipt() {
        let entry_id = EntryId::new(&QueueName::parse("bulk").unwrap(), "1-2");
        assert_eq!(entry_id.as_str(), "bulk:1-2");
        assert_eq!(entry_id.parts(), ("bulk", "1-2"));
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

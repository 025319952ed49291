//! Pauses of queues, job types and providers.

use std::{collections::BTreeMap, fmt};

use longshore_protocol::{
    id::{EntryId, JobId, QueueName},
    platform::PlatformName,
    string_enum,
};
use serde::{Deserialize, Serialize, Serializer};

string_enum! {
    /// What can be paused.
    PauseKind {
        /// Workers stop reading it.
        Queue = "queue",
        /// Jobs of this type are parked.
        Type = "type",
        /// Workers stop calling it.
        Provider = "provider",
    }
}

/// A queue, job type or provider; `queue:bulk` in Redis.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target(String);

/// An active or expired pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Its start, in ms since the epoch.
    pub since: i64,
    /// Its end; absent if it lasts until someone resumes the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// The reason given by the person who paused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// All pauses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses(BTreeMap<String, Pause>);

/// The lane of jobs that wait until one of its targets is resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PausedLane(String);

impl Target {
    pub fn queue(name: &QueueName) -> Self {
        Self::new(PauseKind::Queue, name.base().as_str())
    }

    pub fn task_type(name: &str) -> Self {
        Self::new(PauseKind::Type, name)
    }

    pub fn provider(name: &PlatformName) -> Self {
        Self::new(PauseKind::Provider, name.as_str())
    }

    fn new(kind: PauseKind, name: &str) -> Self {
        Self(format!("{kind}:{name}"))
    }

    /// The form in Redis.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind and the name.
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or(("", &self.0))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = self.parts();
        write!(f, "{kind} {name}")
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Pause {
    /// Whether it has not expired.
    pub fn lasts(&self, now_ms: i64) -> bool {
        self.until.is_none_or(|until| until > now_ms)
    }
}

impl Pauses {
    /// From the hash in Redis.
    pub fn from_stored(record: BTreeMap<String, Pause>) -> Self {
        Self(record)
    }

    /// The active pause of a target.
    pub fn get(&self, target: &Target, now_ms: i64) -> Option<&Pause> {
        // Usually nothing is paused.
        if self.0.is_empty() {
            return None;
        }
        self.0
            .get(target.as_str())
            .filter(|pause| pause.lasts(now_ms))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All active pauses.
    pub fn lasting(&self, now_ms: i64) -> impl Iterator<Item = (Target, &Pause)> {
        self.0
            .iter()
            .filter(move |(_, pause)| pause.lasts(now_ms))
            .map(|(name, pause)| (Target(name.clone()), pause))
    }
}

impl PausedLane {
    /// The lane of a paused job type.
    pub fn of_type(name: &str) -> Self {
        Self(format!("paused:type:{name}"))
    }

    /// The lane of jobs whose only providers are these paused ones.
    pub fn of_providers<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        Self(format!("paused:provider:{}", names.join(",")))
    }

    /// Its name after `{ns}:lane:`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The targets that a lane waits for; `None` if it is not a lane of pauses.
    pub fn targets(lane: &str) -> Option<Vec<Target>> {
        let (kind, names) = lane.strip_prefix("paused:")?.split_once(':')?;
        Some(match PauseKind::from_name(kind)? {
            PauseKind::Provider => names
                .split(',')
                .map(|name| Target::new(PauseKind::Provider, name))
                .collect(),
            kind => vec![Target::new(kind, names)],
        })
    }
}

/// The score of a job in a lane of pauses: the time when the server received it. Entries of one
/// millisecond have sequence numbers; the first 4096 of them keep their order, because a double of this
/// size has a resolution of 1/4096.
pub fn order(received_ms: i64, job: &JobId, place: &EntryId) -> String {
    let number = |place: &EntryId| {
        let (ms, number) = place.parts().1.split_once('-')?;
        let number: u64 = number.parse().ok()?;
        (ms.parse() == Ok(received_ms)).then_some(number)
    };
    let number = number(&EntryId::from_stored(job.as_str())).or_else(|| number(place));
    // 1/4096, with twelve decimals.
    let part = number.unwrap_or(0).min(4095) * 244_140_625;
    format!("{received_ms}.{part:012}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_by_itself() {
        let target = Target::task_type("a:b");
        let pause = Pause {
            since: 1,
            until: Some(10),
            reason: None,
        };
        let pauses = Pauses::from_stored([(target.as_str().to_owned(), pause)].into());
        assert!(pauses.get(&target, 9).is_some());
        assert_eq!(pauses.get(&target, 10), None);
        assert_eq!(pauses.lasting(10).count(), 0);
        assert_eq!(pauses.get(&Target::task_type("a"), 9), None);
    }

    #[test]
    fn a_lane_tells_what_it_waits_for() {
        let targets = |lane: &PausedLane| {
            let targets = PausedLane::targets(lane.as_str()).unwrap();
            targets
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        };
        assert_eq!(targets(&PausedLane::of_type("a:b/c")), "type a:b/c");
        assert_eq!(
            targets(&PausedLane::of_providers(["a", "b"])),
            "provider a; provider b"
        );
        assert_eq!(PausedLane::targets("quota:rpm:a"), None);
    }

    #[test]
    fn jobs_of_one_millisecond_keep_their_order() {
        let at = |id: &str, place: &str| {
            let id = JobId::parse(id).unwrap();
            order(1_795_232_878_059, &id, &EntryId::from_stored(place))
        };
        let orders = [
            at("1795232878059-0", "~default:1795232999999-3"),
            at("1795232878059-2", "1795232878059-2"),
            at("bulk:1795232878059-10", "bulk:1795232878059-10"),
            at("inv-42", "1795232878059-4095"),
        ];
        let numbers: Vec<f64> = orders.iter().map(|order| order.parse().unwrap()).collect();
        assert!(numbers.is_sorted() && numbers.windows(2).all(|two| two[0] < two[1]));
        assert_eq!(
            at("inv-42", "~default:1795232999999-3"),
            "1795232878059.000000000000"
        );
    }
}

//! What jobs wait for in lanes.

use longshore_shared::{
    id::QueueName,
    pause::{PausedLane, Target},
};
use serde::Serialize;

use crate::commands::words;

/// What a job waits for in a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Lane {
    /// A time.
    Time,
    /// A worker of a newer protocol.
    Version,
    /// A place under its concurrency key.
    Key,
    /// Room under this limit.
    Quota(String),
    /// The end of a pause of one of these.
    Paused(Vec<Target>),
    /// The turn of this tenant; empty of jobs without one.
    Tenant(String),
}

impl Lane {
    pub(super) fn parse(name: &str) -> Self {
        if let Some(targets) = PausedLane::targets(name) {
            return Self::Paused(targets);
        }
        match name.split_once(':') {
            None if name == "version" => Self::Version,
            None => Self::Time,
            Some(("quota", meter)) => Self::Quota(meter.to_owned()),
            Some(("tenant", place)) => {
                let tenant = place.split_once(':').map_or("", |(_, tenant)| tenant);
                Self::Tenant(tenant.to_owned())
            }
            Some(_) => Self::Key,
        }
    }

    /// What a job of `queue` waits for that is not to be seen from its state.
    pub(super) fn waits_for(&self, queue: &QueueName) -> Option<String> {
        match self {
            Self::Quota(meter) => Some(words::lane(&format!("quota:{meter}"))),
            Self::Tenant(tenant) => Some(words::lane(&format!("tenant:{queue}:{tenant}"))),
            Self::Paused(targets) => Some(names(targets)),
            Self::Time | Self::Version | Self::Key => None,
        }
    }
}

/// What has to be resumed, in words.
fn names(targets: &[Target]) -> String {
    let names: Vec<String> = targets.iter().map(ToString::to_string).collect();
    format!("{} to be resumed", names.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_known_by_their_names() {
        let lane = |name: &str| Lane::parse(name);
        assert_eq!(lane("time"), Lane::Time);
        assert_eq!(lane("key:a:b"), Lane::Key);
        assert_eq!(lane("quota:rpm:xai"), Lane::Quota("rpm:xai".to_owned()));
        assert_eq!(lane("tenant:bulk:a:b"), Lane::Tenant("a:b".to_owned()));
        assert_eq!(lane("tenant:bulk:"), Lane::Tenant(String::new()));
        let queue = QueueName::default();
        let paused = lane("paused:type:research").waits_for(&queue);
        assert_eq!(paused.as_deref(), Some("type research to be resumed"));
        assert_eq!(lane("time").waits_for(&queue), None);
        let words = lane("quota:rpm:xai").waits_for(&queue);
        assert_eq!(words.as_deref(), Some("xai's requests a minute"));
    }
}

//! The lanes in which jobs are parked.

use longshore_policy::pause::{PausedLane, Target};
use serde::Serialize;

/// What a parked job waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// A time.
    Time,
    /// A worker with a newer protocol version.
    Version,
    /// A slot under its concurrency key.
    Key,
    /// Capacity under the limit of this name.
    Quota(String),
    /// The end of a pause of one of these targets.
    Paused(Vec<Target>),
    /// The turn of this tenant; empty for jobs without one.
    Tenant(String),
}

impl Lane {
    /// Parses the name of a lane as Redis has it.
    pub fn parse(name: &str) -> Self {
        if let Some(targets) = PausedLane::targets(name) {
            return Self::Paused(targets);
        }
        match name.split_once(':') {
            None if name == "version" => Self::Version,
            None => Self::Time,
            Some(("quota", meter)) => Self::Quota(meter.to_owned()),
            Some(("tenant", turn)) => {
                let tenant = turn.split_once(':').map_or("", |(_, tenant)| tenant);
                Self::Tenant(tenant.to_owned())
            }
            Some(_) => Self::Key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lane_names_are_parsed() {
        assert_eq!(Lane::parse("time"), Lane::Time);
        assert_eq!(Lane::parse("version"), Lane::Version);
        assert_eq!(Lane::parse("key:a:b"), Lane::Key);
        assert_eq!(
            Lane::parse("quota:rpm:xai"),
            Lane::Quota("rpm:xai".to_owned())
        );
        assert_eq!(
            Lane::parse("tenant:bulk:a:b"),
            Lane::Tenant("a:b".to_owned())
        );
        assert_eq!(Lane::parse("tenant:bulk:"), Lane::Tenant(String::new()));
        assert!(
            matches!(Lane::parse("paused:type:research"), Lane::Paused(targets) if targets.len() == 1)
        );
    }
}

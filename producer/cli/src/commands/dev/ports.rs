//! The ports of the services: the same from start to start.

use std::{collections::BTreeMap, fs, path::Path};

use longshore_local::Port;

use crate::error::CommandError;

/// The file in the directory of the services: ports by service.
const FILE: &str = "ports.json";

/// A service that listens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Service {
    Redis,
    Postgres,
    Simulator,
    Scheduler,
    /// The worker of this number, from 0.
    Worker(u16),
}

impl Service {
    /// The place of its port after `--port`.
    fn place(self) -> u16 {
        match self {
            Self::Redis => 0,
            Self::Postgres => 1,
            Self::Simulator => 2,
            Self::Scheduler => 3,
            Self::Worker(number) => 4 + number,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Redis => "redis".to_owned(),
            Self::Postgres => "postgres".to_owned(),
            Self::Simulator => "simulator".to_owned(),
            Self::Scheduler => "scheduler".to_owned(),
            Self::Worker(number) => format!("worker-{}", number + 1),
        }
    }
}

/// The ports to listen at.
#[derive(Debug)]
pub(super) struct Ports {
    /// The first of consecutive ports.
    first: Option<u16>,
    /// The ports of the last start.
    last: BTreeMap<String, u16>,
}

impl Ports {
    /// The ports from `first` on, or, without it, those of the last start in `dir`.
    pub(super) fn new(dir: &Path, first: Option<u16>) -> Self {
        // The first start has no file.
        let text = fs::read_to_string(dir.join(FILE)).unwrap_or_default();
        Self {
            first,
            last: serde_json::from_str(&text).unwrap_or_default(),
        }
    }

    pub(super) fn of(&self, service: Service) -> Port {
        match (self.first, self.last.get(&service.name())) {
            (Some(first), _) => Port::Fixed(first.saturating_add(service.place())),
            (None, Some(port)) => Port::Preferred(*port),
            (None, None) => Port::Any,
        }
    }

    /// Remembers the ports of the services for the next start.
    pub(super) fn save(
        &self,
        dir: &Path,
        ports: impl IntoIterator<Item = (Service, u16)>,
    ) -> Result<(), CommandError> {
        let mut all = self.last.clone();
        all.extend(
            ports
                .into_iter()
                .map(|(service, port)| (service.name(), port)),
        );
        let path = dir.join(FILE);
        let text = serde_json::to_string_pretty(&all).unwrap_or_default();
        fs::write(&path, text + "\n")
            .map_err(CommandError::io(format!("cannot write {}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_consecutive_or_those_of_the_last_start() {
        let dir = tempfile::tempdir().unwrap();
        let ports = Ports::new(dir.path(), Some(6400));
        assert_eq!(ports.of(Service::Redis), Port::Fixed(6400));
        assert_eq!(ports.of(Service::Scheduler), Port::Fixed(6403));
        assert_eq!(ports.of(Service::Worker(1)), Port::Fixed(6405));
        let ports = Ports::new(dir.path(), None);
        assert_eq!(ports.of(Service::Redis), Port::Any);
        let first = [(Service::Redis, 15_001), (Service::Worker(0), 15_002)];
        ports.save(dir.path(), first).unwrap();
        let ports = Ports::new(dir.path(), None);
        ports.save(dir.path(), [(Service::Redis, 15_003)]).unwrap();
        let ports = Ports::new(dir.path(), None);
        assert_eq!(ports.of(Service::Redis), Port::Preferred(15_003));
        assert_eq!(ports.of(Service::Worker(0)), Port::Preferred(15_002));
        assert_eq!(ports.of(Service::Postgres), Port::Any);
    }
}

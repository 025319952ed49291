//! What of a new configuration a running process takes, and what it keeps from its start.

use std::path::{Path, PathBuf};

use longshore_settings::{ConfigError, Environment, Origin, yaml::parse};
use secrecy::ExposeSecret as _;

use super::{Config, assemble::assemble};

/// Where a new configuration comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The process's own file.
    Own,
    /// The whole fleet's.
    Fleet,
}

impl Config {
    /// What this process runs by now that its file holds `text`.
    pub fn with_file(
        &self,
        env: &Environment,
        path: &Path,
        text: &str,
    ) -> Result<Self, ConfigError> {
        let new = assemble(env, Some(path), parse(path, text)?, Some(self))?;
        Ok(self.keeping_own(new, Whose::Own))
    }

    /// What this process runs by now that a configuration is pushed, which stands in the place of its
    /// file. Settings of the process itself stay as they are.
    pub fn with_pushed(
        &self,
        env: &Environment,
        version: u64,
        text: &str,
    ) -> Result<Self, ConfigError> {
        let path = PathBuf::from(format!("pushed config {version}"));
        self.with_fleet_file(env, &path, text)
    }

    /// The same, if the file at `path`, which holds `text`, were pushed.
    pub fn with_fleet_file(
        &self,
        env: &Environment,
        path: &Path,
        text: &str,
    ) -> Result<Self, ConfigError> {
        let new = assemble(env, Some(path), parse(path, text)?, Some(self))?;
        Ok(self.keeping_own(new, Whose::Fleet))
    }

    /// `new` with what only a start can change as it is here, and a warning for each that differs.
    fn keeping_own(&self, mut new: Self, whose: Whose) -> Self {
        for name in self.differences(&new) {
            let place = new.origins.get(name).cloned();
            let text = match (whose, place) {
                // What the fleet's leaves out is each process's own affair.
                (Whose::Fleet, None | Some(Origin::Variable(_) | Origin::Together)) => continue,
                (Whose::Fleet, Some(place)) => format!(
                    "{place}: `{name}` is not taken from a pushed configuration: it belongs into each \
                     process's own file or environment"
                ),
                (Whose::Own, place) => format!(
                    "{}: `{name}` is read only when a process starts: it stays as it was",
                    place.unwrap_or(Origin::Together)
                ),
            };
            new.warnings.push(text);
        }
        for name in OWN {
            new.origins.remove(name);
            if let Some(origin) = self.origins.get(name) {
                new.origins.insert(name.to_owned(), origin.clone());
            }
        }
        Self {
            redis_url: self.redis_url.clone(),
            database_url: self.database_url.clone(),
            namespace: self.namespace.clone(),
            queues: self.queues.clone(),
            concurrency: self.concurrency,
            listen: self.listen,
            liveness: self.liveness.clone(),
            migrate: self.migrate,
            simulator_url: self.simulator_url.clone(),
            ..new
        }
    }

    /// The settings of the process itself that are others in `new`.
    fn differences(&self, new: &Self) -> Vec<&'static str> {
        let url = |config: &Self| config.redis_url.expose_secret().to_owned();
        let database = |config: &Self| config.database_url.expose_secret().to_owned();
        let same = [
            url(self) == url(new),
            database(self) == database(new),
            self.namespace == new.namespace,
            self.queues == new.queues,
            self.concurrency == new.concurrency,
            self.listen == new.listen,
            self.migrate == new.migrate,
            self.simulator_url == new.simulator_url,
            self.liveness.heartbeat_every == new.liveness.heartbeat_every,
            self.liveness.heartbeat_ttl == new.liveness.heartbeat_ttl,
        ];
        OWN.into_iter()
            .zip(same)
            .filter_map(|(name, same)| (!same).then_some(name))
            .collect()
    }
}

/// The settings that a process reads at its start and keeps to its end.
const OWN: [&str; 10] = [
    "redis_url",
    "database_url",
    "namespace",
    "queues",
    "concurrency",
    "listen",
    "migrate",
    "simulator_url",
    "liveness.heartbeat_every",
    "liveness.heartbeat_ttl",
];

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "concurrency: 250\nredis_url: redis://here\nsimulator_url: http://sim:1\nretry: { max_retries: 5 }\n";

    fn started() -> Config {
        Config::from_yaml(&Environment::default(), Path::new("longshore.yaml"), START).unwrap()
    }

    #[test]
    fn a_changed_file_changes_what_may_change() {
        let env = Environment::from_pairs([("OPENAI_API_KEY", "sk-1")]);
        let new = "concurrency: 9\nnamespace: other\nretry: { max_retries: 7 }\n";
        let now = started()
            .with_file(&env, Path::new("longshore.yaml"), new)
            .unwrap();
        assert_eq!(now.retry.max_retries, 7);
        assert_eq!(
            (now.concurrency, now.namespace.as_str()),
            (250, "longshore")
        );
        assert_eq!(
            now.warnings,
            [
                "configuration: `redis_url` is read only when a process starts: it stays as it was",
                "longshore.yaml:2: `namespace` is read only when a process starts: it stays as it was",
                "longshore.yaml:1: `concurrency` is read only when a process starts: it stays as it was",
                "configuration: `simulator_url` is read only when a process starts: it stays as it was",
            ]
        );
    }

    #[test]
    fn whom_a_process_simulates_it_goes_on_simulating() {
        let env = Environment::from_pairs([("OPENAI_API_KEY", "sk-real")]);
        let now = started().with_pushed(&env, 3, "grace: 1s\n").unwrap();
        for provider in &now.catalog.providers {
            assert_eq!(provider.base_url.host_str(), Some("sim"), "{provider:?}");
            assert_eq!(provider.key.as_ref().unwrap().expose_secret(), "simulated");
        }
    }

    #[test]
    fn a_pushed_one_stands_in_the_file_s_place_and_after_the_environment() {
        let env = Environment::from_pairs([("LONGSHORE_RETRY_JITTER", "1s")]);
        let new = "concurrency: 9\nretry: { jitter: 9s, base_delay: 2s }\n";
        let now = started().with_pushed(&env, 3, new).unwrap();
        assert_eq!(now.retry.max_retries, 3, "the file's is not asked");
        assert_eq!(now.retry.base_delay.as_secs(), 2);
        assert_eq!(now.retry.jitter.as_secs(), 1);
        assert_eq!(now.concurrency, 250);
        assert_eq!(
            now.warnings,
            [
                "pushed config 3:1: `concurrency` is not taken from a pushed configuration: it belongs into each process's own file or environment"
            ]
        );
        let origin = |name: &str| now.origins[name].to_string();
        assert_eq!(origin("concurrency"), "longshore.yaml:1");
        assert_eq!(origin("retry.base_delay"), "pushed config 3:2");
    }

    #[test]
    fn a_bad_one_is_told_by_its_version_and_line() {
        let error = started()
            .with_pushed(&Environment::default(), 3, "grace: 1s\nretry: 5\n")
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("pushed config 3:2: `retry` is not a map"),
            "{error}"
        );
    }
}

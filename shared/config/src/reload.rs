//! Applying a new configuration to a running process.

use std::path::{Path, PathBuf};

use longshore_settings::{
    ConfigError, Environment, Origin, sort_problems,
    yaml::{Parsed, parse},
};

use crate::{
    Config,
    assemble::assemble,
    secrets::literal_secrets,
    sections::{Part, parts},
    table::File,
};

/// The source of a new configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The file of the process.
    OwnFile,
    /// A configuration that was pushed to every process.
    Pushed,
}

impl Config {
    /// The configuration of this process after its file has changed to `text`.
    pub fn with_file(
        &self,
        env: &Environment,
        path: &Path,
        text: &str,
    ) -> Result<Self, ConfigError> {
        let new = assemble(env, Some(path), Some(parse(path, text)?), Some(self))?;
        Ok(self.keep_startup_settings(new, Source::OwnFile))
    }

    /// The configuration of this process after `text` was pushed. It replaces the file, except for the
    /// settings that need a restart.
    pub fn with_pushed(
        &self,
        env: &Environment,
        version: u64,
        text: &str,
    ) -> Result<Self, ConfigError> {
        let path = PathBuf::from(format!("pushed config {version}"));
        self.with_fleet_file(env, &path, text)
    }

    /// The configuration of this process if the file at `path`, which contains `text`, were pushed.
    pub fn with_fleet_file(
        &self,
        env: &Environment,
        path: &Path,
        text: &str,
    ) -> Result<Self, ConfigError> {
        let new = assemble(env, Some(path), Some(parse(path, text)?), Some(self))?;
        Ok(self.keep_startup_settings(new, Source::Pushed))
    }

    /// As [`Config::with_fleet_file`], for a file that is about to be pushed: it may contain no secret.
    pub fn to_push(&self, env: &Environment, path: &Path, text: &str) -> Result<Self, ConfigError> {
        let file: Parsed<File> = parse(path, text)?;
        let mut problems = literal_secrets(path, &file.value);
        match assemble(env, Some(path), Some(file), Some(self)) {
            Ok(new) if problems.is_empty() => Ok(self.keep_startup_settings(new, Source::Pushed)),
            Ok(_) => Err(problems.into()),
            Err(error) => {
                problems.extend(error.into_problems());
                sort_problems(path, &mut problems);
                Err(problems.into())
            }
        }
    }

    /// `new` with the present values of the settings that need a restart, and a warning for each of them
    /// that differs.
    fn keep_startup_settings(&self, mut new: Self, source: Source) -> Self {
        for part in parts(&self.catalog) {
            let Part::Settings(section) = part else {
                continue;
            };
            for (name, differs) in section.keep_startup_settings(self, &mut new) {
                let new_origin = new.origins.remove(&name);
                if let Some(origin) = self.origins.get(&name) {
                    new.origins.insert(name.clone(), origin.clone());
                }
                if differs {
                    new.warnings
                        .extend(restart_warning(&name, source, new_origin));
                }
            }
        }
        self.keep_keyring(&mut new, source);
        self.keep_gates(&mut new, source);
        self.keep_tools(&mut new, source);
        new
    }

    /// Keeps the gates: a configuration that is pushed through Redis must not choose commands.
    fn keep_gates(&self, new: &mut Self, source: Source) {
        let new_origin = self.keep_origins(new, "gates.");
        if self.gates != new.gates {
            new.gates = self.gates.clone();
            new.warnings
                .extend(restart_warning("gates", source, new_origin));
        }
    }

    /// Keeps the tools and their workspaces, for the same reason.
    fn keep_tools(&self, new: &mut Self, source: Source) {
        let of_tools = self.keep_origins(new, "tools.");
        let of_workspaces = self.keep_origins(new, "workspaces.");
        if self.tools != new.tools {
            new.tools = self.tools.clone();
            new.warnings
                .extend(restart_warning("tools", source, of_tools));
        }
        if self.workspaces != new.workspaces {
            new.workspaces = self.workspaces.clone();
            new.warnings
                .extend(restart_warning("workspaces", source, of_workspaces));
        }
    }

    /// Keeps where the settings are set whose paths begin with `prefix`; returns where one of the new ones is.
    fn keep_origins(&self, new: &mut Self, prefix: &str) -> Option<Origin> {
        let begins = |name: &str| name.starts_with(prefix);
        let new_origin = new.origins.iter().find(|(name, _)| begins(name));
        let new_origin = new_origin.map(|(_, origin)| origin.clone());
        new.origins.retain(|name, _| !begins(name));
        let own = self.origins.iter().filter(|(name, _)| begins(name));
        new.origins
            .extend(own.map(|(name, origin)| (name.clone(), origin.clone())));
        new_origin
    }

    /// Keeps the keys: what is stored with one must stay readable until the process ends.
    fn keep_keyring(&self, new: &mut Self, source: Source) {
        let new_origin = self.keep_origins(new, "encryption.");
        let differs = self.keyring.current() != new.keyring.current()
            || !self.keyring.key_ids().eq(new.keyring.key_ids());
        new.keyring = self.keyring.clone();
        if differs {
            new.warnings
                .extend(restart_warning("encryption", source, new_origin));
        }
    }
}

/// The warning about a setting that a reload does not change.
fn restart_warning(name: &str, source: Source, origin: Option<Origin>) -> Option<String> {
    match (source, origin) {
        // A setting that the pushed configuration does not contain keeps its value without a warning.
        (Source::Pushed, None | Some(Origin::Variable(_) | Origin::Configuration)) => None,
        (Source::Pushed, Some(origin)) => Some(format!(
            "{origin}: `{name}` is ignored in a pushed configuration; set it in the file or the environment \
             of each process"
        )),
        (Source::OwnFile, origin) => Some(format!(
            "{}: `{name}` keeps its value until the process restarts",
            origin.unwrap_or(Origin::Configuration)
        )),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const START: &str = "concurrency: 250\nredis_url: redis://here\nsimulator_url: http://sim:1\nretry: { max_retries: 5 }\n";

    fn started() -> Config {
        Config::from_yaml(&Environment::default(), Path::new("longshore.yaml"), START).unwrap()
    }

    #[test]
    fn a_changed_file_keeps_startup_settings() {
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
                "configuration: `redis_url` keeps its value until the process restarts",
                "longshore.yaml:2: `namespace` keeps its value until the process restarts",
                "longshore.yaml:1: `concurrency` keeps its value until the process restarts",
                "configuration: `simulator_url` keeps its value until the process restarts",
            ]
        );
    }

    #[test]
    fn a_simulated_process_stays_simulated() {
        let env = Environment::from_pairs([("OPENAI_API_KEY", "sk-real")]);
        let now = started().with_pushed(&env, 3, "grace: 1s\n").unwrap();
        for provider in &now.catalog.providers {
            assert_eq!(provider.base_url.host_str(), Some("sim"), "{provider:?}");
            assert_eq!(provider.key.as_ref().unwrap().expose_secret(), "simulated");
        }
    }

    #[test]
    fn a_pushed_configuration_replaces_the_file_but_not_the_environment() {
        let env = Environment::from_pairs([("LONGSHORE_RETRY_JITTER", "1s")]);
        let new = "concurrency: 9\nretry: { jitter: 9s, base_delay: 2s }\n";
        let now = started().with_pushed(&env, 3, new).unwrap();
        assert_eq!(now.retry.max_retries, 3, "the file is not used");
        assert_eq!(now.retry.base_delay.as_secs(), 2);
        assert_eq!(now.retry.jitter.as_secs(), 1);
        assert_eq!(now.concurrency, 250);
        assert_eq!(
            now.warnings,
            [
                "pushed config 3:1: `concurrency` is ignored in a pushed configuration; set it in the file or the environment of each process"
            ]
        );
        let origin = |name: &str| now.origins[name].to_string();
        assert_eq!(origin("concurrency"), "longshore.yaml:1");
        assert_eq!(origin("retry.base_delay"), "pushed config 3:2");
    }

    #[test]
    fn a_pushed_configuration_leaves_logins_and_certificates_alone() {
        let env = Environment::from_pairs([("LONGSHORE_REDIS_CA_FILE", "ca.pem")]);
        let path = Path::new("longshore.yaml");
        let started = Config::from_yaml(&env, path, "redis_url: rediss://here\n").unwrap();
        let now = started.with_pushed(&env, 3, "grace: 1s\n").unwrap();
        assert_eq!(now.redis_access, started.redis_access);
        assert!(now.redis_url.has_tls());
    }

    #[test]
    fn an_invalid_pushed_configuration_is_refused_with_its_version_and_line() {
        let error = started()
            .with_pushed(&Environment::default(), 3, "grace: 1s\nretry: 5\n")
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("pushed config 3:2: `retry` is a single value"),
            "{error}"
        );
    }
}

//! The configuration as people see it: every setting, what it is, and where it stands.

use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::{Config, Origin, RetryPolicy, form::spelled, redacted};
use crate::id::QueueName;

mod catalog;
mod policy;

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its path in the file.
    pub name: String,
    /// What it is; never a key or a password.
    pub value: String,
    /// Where it stands; absent where it is not set, and has its default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// As it is told in messages: `longshore.yaml:3`, or a variable's name.
impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Config {
    /// Every setting, in the order of the documentation; of models, rules, keywords and words of tiers
    /// only those that are set.
    pub fn shown(&self) -> Vec<Shown> {
        let mut list = self.of_the_process();
        list.extend(self.of_the_queue());
        list.extend(policy::routing(self));
        list.extend(catalog::lines(self));
        list.extend(policy::spending(self));
        list.into_iter()
            .map(|(name, value)| Shown {
                origin: self.origins.get(&name).cloned(),
                name,
                value,
            })
            .collect()
    }

    fn of_the_process(&self) -> Vec<(String, String)> {
        let queues: Vec<&str> = self.queues.iter().map(QueueName::as_str).collect();
        let off = || "off".to_owned();
        named([
            ("redis_url", redacted(self.redis_url.expose_secret())),
            ("database_url", redacted(self.database_url.expose_secret())),
            ("namespace", self.namespace.to_string()),
            ("queues", queues.join(", ")),
            ("concurrency", self.concurrency.to_string()),
            ("grace", spelled(self.grace)),
            (
                "listen",
                self.listen.map_or_else(off, |listen| listen.to_string()),
            ),
            ("migrate", self.migrate.to_string()),
            (
                "simulator_url",
                self.simulator_url
                    .as_ref()
                    .map_or_else(off, ToString::to_string),
            ),
        ])
    }

    fn of_the_queue(&self) -> Vec<(String, String)> {
        let mut list = retry("retry", &self.retry);
        for (name, policy) in &self.retries {
            list.extend(retry(&format!("retries.{name}"), policy));
        }
        list.extend(named([
            (
                "limits.max_message_bytes",
                self.limits.max_bytes.to_string(),
            ),
            ("limits.max_depth", self.limits.max_depth.to_string()),
            (
                "liveness.heartbeat_every",
                spelled(self.liveness.heartbeat_every),
            ),
            (
                "liveness.heartbeat_ttl",
                spelled(self.liveness.heartbeat_ttl),
            ),
            ("retention.results", spelled(self.retention.results)),
            ("retention.ids", spelled(self.retention.ids)),
            (
                "retention.dead_letters",
                spelled(self.retention.dead_letters),
            ),
            (
                "retention.dead_letters_max",
                self.retention.dead_letters_max.to_string(),
            ),
        ]));
        list
    }
}

fn named<const N: usize>(list: [(&str, String); N]) -> Vec<(String, String)> {
    list.map(|(name, value)| (name.to_owned(), value)).into()
}

fn retry(at: &str, policy: &RetryPolicy) -> Vec<(String, String)> {
    [
        ("max_retries", policy.max_retries.to_string()),
        ("base_delay", spelled(policy.base_delay)),
        ("max_delay", spelled(policy.max_delay)),
        ("jitter", spelled(policy.jitter)),
        ("hold_limit", spelled(policy.hold_limit)),
    ]
    .map(|(name, value)| (format!("{at}.{name}"), value))
    .into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{Environment, tests::EVERYTHING};
    use super::*;

    fn load(yaml: &str) -> Config {
        let env = Environment::from_pairs([
            ("REDIS_PASSWORD", "hunter2"),
            ("OPENAI_API_KEY", "hunter2"),
            ("LONGSHORE_GRACE", "9s"),
        ]);
        Config::from_yaml(&env, "longshore.yaml".as_ref(), yaml).unwrap()
    }

    #[test]
    fn every_setting_that_is_set_is_shown() {
        let yaml = EVERYTHING
            .replace(
                "providers:\n",
                "providers: { openai: { limits: { max_concurrent: 4 } } }\n",
            )
            .replace(
                "models: []\n",
                "models: [{ provider: openai, model: gpt-4o, tier: fast }]\n",
            );
        let config = load(&yaml);
        let shown: BTreeSet<String> = config.shown().into_iter().map(|line| line.name).collect();
        let absent: Vec<&String> = config
            .origins
            .keys()
            .filter(|name| !shown.contains(*name))
            .collect();
        assert_eq!(absent, Vec::<&String>::new());
        assert!(shown.contains("providers.openai") && shown.contains("models.openai/gpt-4o"));
    }

    #[test]
    fn values_are_told_with_their_origin_and_without_secrets() {
        let config = load(
            "retry: { jitter: 1s }\nproviders: { openai: { limits: { max_concurrent: 4 } } }\nredis_url: redis://:${REDIS_PASSWORD}@x\n",
        );
        let shown = config.shown();
        let line = |name: &str| {
            let line = shown.iter().find(|line| line.name == name).unwrap();
            let origin = line.origin.as_ref().map(ToString::to_string);
            (line.value.as_str(), origin.unwrap_or_default())
        };
        assert_eq!(line("redis_url"), ("x:6379", "longshore.yaml:3".to_owned()));
        assert_eq!(line("retry.jitter"), ("1s", "longshore.yaml:1".to_owned()));
        assert_eq!(line("grace"), ("9s", "LONGSHORE_GRACE".to_owned()));
        assert_eq!(line("concurrency"), ("1000", String::new()));
        assert_eq!(
            line("providers.openai"),
            (
                "on, openai at https://api.openai.com/v1, default_model gpt-4o-mini, key from OPENAI_API_KEY, paid, max_concurrent 4",
                "longshore.yaml:2".to_owned()
            )
        );
        assert_eq!(
            line("providers.xai").0,
            "off (XAI_API_KEY is not set), openai at https://api.x.ai/v1, default_model grok-4.3, key from XAI_API_KEY, paid"
        );
        assert!(!format!("{shown:?}").contains("hunter2"));
    }
}

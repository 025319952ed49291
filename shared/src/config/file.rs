//! The form of `longshore.yaml`.
//!
//! Every value is read as text with its line, and understood later: so `${…}` works for numbers too,
//! and a wrong value is told in our words.

use std::{fmt, marker::PhantomData, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_saphyr::Spanned;

use super::{
    Origin,
    cron::RawCron,
    dead_letters::RawDeadLetters,
    limits::{RawBudget, RawCircuit, RawTenant},
    routing::RawRouting,
    webhooks::{RawAlerts, RawWebhooks},
};
use crate::catalog::{RawModel, RawProvider};

/// A value as it was written.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text(Spanned<String>);

impl Text {
    /// What was written, before `${…}` is filled in.
    pub(crate) fn as_written(&self) -> &str {
        &self.0.value
    }

    /// The line, from 1.
    pub(crate) fn line(&self) -> Option<usize> {
        usize::try_from(self.0.referenced.line())
            .ok()
            .filter(|line| *line > 0)
    }

    /// Where it stands.
    pub(crate) fn origin(&self, path: &Path) -> Origin {
        Origin::file(path, self.line())
    }
}

/// A map that keeps its order and its keys' lines.
#[derive(Debug, Clone)]
pub(crate) struct Entries<T>(pub(crate) Vec<(Text, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }

            // `providers:` with nothing under it.
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Entries::default())
            }
        }

        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    pub(crate) redis_url: Option<Text>,
    pub(crate) database_url: Option<Text>,
    pub(crate) namespace: Option<Text>,
    pub(crate) queues: Option<Vec<Text>>,
    pub(crate) concurrency: Option<Text>,
    pub(crate) grace: Option<Text>,
    pub(crate) listen: Option<Text>,
    pub(crate) migrate: Option<Text>,
    pub(crate) simulator_url: Option<Text>,
    pub(crate) retry: Option<RawRetry>,
    pub(crate) retries: Option<Entries<RawRetry>>,
    pub(crate) limits: Option<RawLimits>,
    pub(crate) liveness: Option<RawLiveness>,
    pub(crate) retention: Option<RawRetention>,
    pub(crate) dead_letters: Option<RawDeadLetters>,
    pub(crate) providers: Option<Entries<Option<RawProvider>>>,
    pub(crate) models: Option<Vec<RawModel>>,
    pub(crate) model_files: Option<Vec<Text>>,
    pub(crate) unknown_price: Option<Text>,
    pub(crate) routing: Option<RawRouting>,
    pub(crate) budgets: Option<Vec<RawBudget>>,
    pub(crate) tenants: Option<Entries<Option<RawTenant>>>,
    pub(crate) alerts: Option<RawAlerts>,
    pub(crate) webhooks: Option<RawWebhooks>,
    pub(crate) circuit: Option<RawCircuit>,
    pub(crate) cli_tools: Option<Vec<Text>>,
    pub(crate) cron: Option<Vec<RawCron>>,
}

/// A retry policy.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRetry {
    pub(crate) max_retries: Option<Text>,
    pub(crate) base_delay: Option<Text>,
    pub(crate) max_delay: Option<Text>,
    pub(crate) jitter: Option<Text>,
    pub(crate) hold_limit: Option<Text>,
}

/// Limits of a message.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_field_names,
    reason = "the names are those of the settings"
)]
pub(crate) struct RawLimits {
    pub(crate) max_message_bytes: Option<Text>,
    pub(crate) max_chain_bytes: Option<Text>,
    pub(crate) max_depth: Option<Text>,
}

/// Heartbeats.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawLiveness {
    pub(crate) heartbeat_every: Option<Text>,
    pub(crate) heartbeat_ttl: Option<Text>,
}

/// How long things are kept.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRetention {
    pub(crate) results: Option<Text>,
    pub(crate) ids: Option<Text>,
    pub(crate) dead_letters: Option<Text>,
    pub(crate) dead_letters_max: Option<Text>,
    pub(crate) chains: Option<Text>,
    pub(crate) dead_letters_archive: Option<Text>,
    pub(crate) jobs: Option<Text>,
    pub(crate) attempts: Option<Text>,
    pub(crate) events_bad: Option<Text>,
}

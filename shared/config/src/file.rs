//! The form of `longshore.yaml`.
//!
//! Every value is read as text with its line, and understood later: so `${…}` works for numbers too,
//! and a wrong value is told in our words.

use longshore_policy::catalog::{RawModel, RawProvider};
use longshore_settings::{Entries, Text};
use serde::Deserialize;

use super::{
    cron::RawCron, dead_letters::RawDeadLetters, limits::RawBudget, limits::RawCircuit,
    limits::RawTenant, routing::RawRouting, webhooks::RawAlerts, webhooks::RawWebhooks,
};

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

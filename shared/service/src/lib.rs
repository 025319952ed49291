//! What every Longshore service needs: start-up, retries, logs, metrics and traces, health, live configuration,
//! webhooks, and the archive of dead letters.

pub mod startup;

pub mod backoff;

pub mod instruments;

pub mod telemetry;

pub mod traces;

pub mod health;

pub mod live_config;

pub mod tls;

pub mod webhook;

pub mod archive;

pub mod version;

//! What every Longshore service needs: start-up, health, telemetry, live configuration, webhooks, the
//! archive of dead letters.

pub mod archive;
pub mod health;
pub mod live_config;
pub mod service;
pub mod telemetry;
pub mod tls;
pub mod webhook;

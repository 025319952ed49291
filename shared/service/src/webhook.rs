//! Webhooks: signed messages to addresses that the configuration allows.
//!
//! They are signed as [Standard Webhooks 1.0](https://www.standardwebhooks.com) specifies, so that
//! receivers can check them with its libraries. A message may arrive twice (its sender may die before it
//! records the delivery): both have the same `webhook-id`, and the receiver drops the second.

mod error;
mod send;

pub use self::{error::WebhookError, send::Webhooks};

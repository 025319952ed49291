//! Webhooks: signed messages to addresses that the configuration allows.
//!
//! Signatures follow [Standard Webhooks 1.0](https://www.standardwebhooks.com), so that receivers can
//! verify them with its libraries. A message may arrive twice, because its sender may die before it records
//! the delivery. Both have the same `webhook-id`; the receiver drops the second.

mod error;
mod send;

pub use self::{error::WebhookError, send::Webhooks};

#[cfg(test)]
mod tests;

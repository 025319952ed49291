//! Chains: starting a chain from its message, preparing its steps to run, and notifying its webhook.

mod scope;
mod start;
mod step;
mod webhook;

pub(crate) use self::{
    start::start,
    step::{inherit, prepare},
    webhook::Webhook,
};

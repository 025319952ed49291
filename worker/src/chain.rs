//! Chains: starting a chain from its message, preparing its steps to run, merging the answers of several models, and
//! notifying its webhook.

mod authors;
mod merge;
mod scope;
mod start;
mod step;
mod webhook;

pub(crate) use self::{
    authors::Authors,
    merge::answered,
    start::start,
    step::{inherit, prepare},
    webhook::Webhook,
};

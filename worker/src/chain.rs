//! Chains: starting a chain from its message, preparing its steps to run, merging the answers of several models, checking
//! answers, answering a job by a recipe, and notifying its webhook.

mod authors;
mod merge;
mod plan;
mod question;
mod recipe;
mod scope;
mod start;
mod step;
mod validate;
mod webhook;

pub(crate) use self::{
    authors::Authors,
    merge::answered,
    recipe::{RecipeResult, run_recipe, stop_recipe},
    start::start,
    step::{inherit, prepare},
    validate::or_for_a_person,
    webhook::Webhook,
};

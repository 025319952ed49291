//! Who answers what.

mod days;
mod order;
mod policy;
mod properties;
mod rules;
mod tables;
mod tiers;

use std::borrow::Cow;
use std::path::Path;

use chrono::NaiveDate;
use longshore_config::Config;
use longshore_policy::{catalog::Billing, routing::*};
use longshore_protocol::envelope::{MessageLimits, RawMessage, parse};
use longshore_protocol::{
    envelope::Envelope,
    money::Usd,
    platform::{Capability, Tier},
};
use longshore_settings::Environment;

const THREE: [&str; 3] = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY"];
const FOUR: [&str; 4] = [
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GOOGLE_API_KEY",
    "XAI_API_KEY",
];

/// The built-in catalog with these keys, changed by a file.
fn config(keys: &[&str], yaml: &str) -> Config {
    let env = Environment::from_pairs(keys.iter().map(|name| (*name, "secret")));
    Config::from_yaml(&env, Path::new("longshore.yaml"), yaml).unwrap()
}

fn router_of(config: &Config, day: NaiveDate) -> Router {
    Router::new(&config.catalog, &config.routing, day)
}

/// A day on which all the models are there that these tests name.
fn today() -> NaiveDate {
    "2026-11-21".parse().unwrap()
}

fn router(keys: &[&str]) -> Router {
    router_of(&config(keys, ""), today())
}

fn ruled(keys: &[&str], yaml: &str) -> Router {
    router_of(&config(keys, yaml), today())
}

/// A router of a configuration that is changed by hand.
fn changed(keys: &[&str], yaml: &str, change: impl FnOnce(&mut Config)) -> Router {
    let mut config = config(keys, yaml);
    change(&mut config);
    router_of(&config, today())
}

fn bill(config: &mut Config, platform: &str, billing: Billing) {
    let providers = &mut config.catalog.providers;
    let provider = providers
        .iter_mut()
        .find(|one| one.name.as_str() == platform);
    provider.unwrap().billing = billing;
}

fn can(config: &mut Config, model: &str, capabilities: &[Capability]) {
    let models = &mut config.catalog.models;
    let model = models.iter_mut().find(|one| one.model == model);
    model.unwrap().capabilities = capabilities.to_vec();
}

fn envelope(job: &str) -> Envelope {
    let message = RawMessage {
        fields: vec![(b"job".to_vec(), job.as_bytes().to_vec())],
    };
    parse(&message, &MessageLimits::default()).unwrap().envelope
}

fn decided<'a>(router: &'a Router, job: &str) -> Decision<'a> {
    let envelope = envelope(job);
    router.decide(&envelope, router.measure(&envelope)).unwrap()
}

/// A decision for a prompt of so many tokens.
fn long<'a>(router: &'a Router, job: &str, tokens: u64) -> Result<Decision<'a>, Unroutable> {
    let prompt = PromptTokens {
        upper_bound: tokens,
    };
    router.decide(&envelope(job), prompt)
}

fn named(decision: &Decision<'_>) -> Vec<String> {
    let names = decision.candidates.iter();
    names
        .map(|one| format!("{}/{}", one.provider.name, one.model.model))
        .collect()
}

fn asked(router: &Router, job: &str) -> Vec<String> {
    named(&decided(router, job))
}

/// The platforms alone.
fn platforms(router: &Router, job: &str) -> Vec<String> {
    let decision = decided(router, job);
    let names = decision.candidates.iter();
    names.map(|one| one.provider.name.to_string()).collect()
}

fn refused(router: &Router, job: &str) -> String {
    let envelope = envelope(job);
    let refused = router.decide(&envelope, router.measure(&envelope));
    refused.unwrap_err().error
}

/// The record, a step a line.
fn record(decision: &Decision<'_>) -> String {
    let steps = decision.steps.iter();
    let lines: Vec<String> = steps
        .map(|one| format!("{}: {}", one.step, one.outcome))
        .collect();
    lines.join("\n")
}

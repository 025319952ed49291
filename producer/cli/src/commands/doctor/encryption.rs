//! Checks that the keys at hand decrypt what is stored.

use std::{collections::BTreeMap, str};

use longshore_broker::{Broker, BrokerError};
use longshore_protocol::{
    dead_letter::{DeadLetterFilter, DeadLetterOrder, DeadLetterQuery},
    encryption::{KeyId, Keyring, key_of, unopened_key},
};

use super::checks::Check;

const NAME: &str = "encryption";

/// How many dead letters and how many parked jobs are looked at.
const SAMPLE: usize = 100;

/// The keys at hand, and those that stored jobs need besides.
pub(super) async fn check(broker: &Broker) -> Result<Vec<Check>, BrokerError> {
    let mut checks: Vec<Check> = keys_check(broker.keyring()).into_iter().collect();
    let samples = [
        ("dead letters", dead_letter_keys(broker).await?),
        ("parked jobs", parked_keys(broker).await?),
    ];
    for (what, missing) in samples {
        checks.extend(missing.iter().map(|(key, count)| lacks(what, key, *count)));
    }
    Ok(checks)
}

fn keys_check(keyring: &Keyring) -> Option<Check> {
    let current = keyring.current()?;
    let known: Vec<&str> = keyring.key_ids().map(KeyId::as_str).collect();
    let text = format!("{current} encrypts; known keys: {}", known.join(", "));
    Some(Check::ok(NAME, text))
}

fn lacks(what: &str, key: &KeyId, count: usize) -> Check {
    Check::problem(
        NAME,
        format!("key {key} is unknown here and needed by {count} of the first {SAMPLE} {what}"),
        "add it under `encryption.keys`, here and for workers: a job that they cannot decrypt becomes a dead letter (cannot_decrypt)",
    )
}

/// The unknown keys of the newest dead letters, with how many need each.
async fn dead_letter_keys(broker: &Broker) -> Result<BTreeMap<KeyId, usize>, BrokerError> {
    let query = DeadLetterQuery {
        filter: DeadLetterFilter::default(),
        span: 0..=i64::MAX,
        order: DeadLetterOrder::NewestFirst,
        after: None,
    };
    let page = broker.dead_letters().page(&query, SAMPLE).await?;
    let mut letters = page.found;
    Ok(counts(
        letters
            .iter_mut()
            .filter_map(|(_, letter, _)| unopened_key(letter)),
    ))
}

/// The unknown keys of some parked jobs, with how many need each.
async fn parked_keys(broker: &Broker) -> Result<BTreeMap<KeyId, usize>, BrokerError> {
    let lanes = broker.lanes();
    let (_, entry_ids) = lanes.parked_page(0).await?;
    let mut keys = Vec::new();
    for entry_id in entry_ids.iter().take(SAMPLE) {
        let parked = lanes.parked_entry(entry_id).await?;
        let fields = parked.iter().flat_map(|parked| &parked.message.fields);
        let mut values = fields.filter_map(|(_, value)| str::from_utf8(value).ok());
        keys.extend(values.find_map(key_of));
    }
    Ok(counts(keys))
}

fn counts(keys: impl IntoIterator<Item = KeyId>) -> BTreeMap<KeyId, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_insert(0) += 1;
    }
    counts
}

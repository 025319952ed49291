//! Fair sharing among tenants. While all slots are in use, the reader sorts new entries into a lane for each
//! tenant; free slots then go to the tenants in turn, by weight. So a tenant with a million jobs does not
//! delay one with ten. Where no job names a tenant, nothing is sorted.

use std::{borrow::Cow, collections::BTreeMap};

use chrono::{DateTime, Utc};
use longshore_broker::{BrokerError, DeliveredEntry, QueueReader, TenantEntry};
use longshore_config::Config;
use longshore_protocol::{
    checkpoint::Checkpoint,
    encryption::Keyring,
    envelope::{MAX_FIELDS, tenant_of},
    id::{JobId, QueueName},
};

use crate::{context::Context, job::received_at, record::serialize};

/// Sorts new entries into the lanes of their tenants. Returns those that must be refused, which need a slot.
pub(super) async fn sort_new_entries(
    delivered: Vec<DeliveredEntry>,
    reader: &mut QueueReader,
    context: &Context,
) -> Result<Vec<DeliveredEntry>, BrokerError> {
    let config = context.policy().config.clone();
    let keyring = context.broker.keyring();
    let now = context.clock.now();
    let (refused, sortable): (Vec<_>, Vec<_>) = delivered
        .into_iter()
        .partition(|entry| is_to_refuse(entry, keyring));
    let mut by_queue: BTreeMap<QueueName, Vec<TenantEntry>> = BTreeMap::new();
    for entry in sortable {
        let queue = entry.delivery.queue.clone();
        by_queue
            .entry(queue)
            .or_default()
            .push(with_tenant(entry, &config, keyring, now));
    }
    for (queue, sorted) in by_queue {
        reader.park_by_tenant(&queue, &sorted).await?;
    }
    Ok(refused)
}

/// Whether an entry never becomes a job. With keys that includes one that cannot be stored encrypted.
fn is_to_refuse(entry: &DeliveredEntry, keyring: &Keyring) -> bool {
    let fields = &entry.message.fields;
    let has_foreign_name = || {
        fields
            .iter()
            .any(|(name, _)| std::str::from_utf8(name).is_err())
    };
    entry.forged
        || entry.unopened.is_some()
        || fields.len() > MAX_FIELDS
        || (keyring.is_on() && has_foreign_name())
}

fn with_tenant(
    entry: DeliveredEntry,
    config: &Config,
    keyring: &Keyring,
    now: DateTime<Utc>,
) -> TenantEntry {
    let tenant = tenant_of(&entry.message)
        .map(Cow::into_owned)
        .unwrap_or_default();
    // The producer's id is not admitted yet: two messages may carry the same.
    let id = JobId::from_entry(&entry.delivery.entry_id);
    let checkpoint = entry.checkpoint.or_else(|| {
        let received = received_at(&entry.delivery.entry_id, now);
        serialize(&Checkpoint::fresh(id.clone(), received), keyring)
    });
    TenantEntry {
        delivery: entry.delivery,
        id,
        weight: config.tenants.weight(&tenant),
        tenant,
        checkpoint,
    }
}

//! Fair shares among tenants. While all places are taken, what is new is looked through and laid aside by
//! tenant; free places then go to the tenants in turn, each by its weight. So one with a million jobs does
//! not keep another with ten waiting, and where no job names a tenant nothing of this happens.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::atomic::{AtomicI64, Ordering},
};

use chrono::Utc;
use longshore_broker::{BrokerError, Delivered, QueueReader, Sorted};
use longshore_config::Config;
use longshore_protocol::{
    checkpoint::Resume,
    envelope::tenant_of,
    id::{JobId, QueueName},
};

use crate::{deps::Deps, settle::json};

/// Entries that are looked through at once.
const BATCH: usize = 512;

/// So long after the last job with a tenant it goes on, in ms.
const REMEMBERED_MS: i64 = 60_000;

/// Whether jobs name their tenants.
#[derive(Debug, Default)]
pub struct Fairness {
    seen_ms: AtomicI64,
}

impl Fairness {
    /// A job with a tenant came.
    pub(crate) fn seen(&self, now_ms: i64) {
        self.seen_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether tenants are to share.
    pub(crate) fn is_wanted(&self, now_ms: i64) -> bool {
        now_ms - self.seen_ms.load(Ordering::Relaxed) < REMEMBERED_MS
    }
}

/// Looks through some of what is new and lays it aside by tenant. Gives how many there were, and those
/// that have to be refused, for which a place is needed.
pub(crate) async fn sort_some(
    reader: &mut QueueReader,
    deps: &Deps,
) -> Result<(usize, Vec<Delivered>), BrokerError> {
    let config = deps.policy().config.clone();
    let delivered = reader.look_ahead(BATCH).await?;
    let looked = delivered.len();
    let (forged, plain): (Vec<_>, Vec<_>) = delivered.into_iter().partition(|one| one.forged);
    let mut by_queue: BTreeMap<QueueName, Vec<Sorted>> = BTreeMap::new();
    for one in plain {
        let queue = one.held.queue.clone();
        by_queue
            .entry(queue)
            .or_default()
            .push(sorted(one, &config));
    }
    for (queue, sorted) in by_queue {
        reader.sort(&queue, &sorted).await?;
    }
    Ok((looked, forged))
}

fn sorted(one: Delivered, config: &Config) -> Sorted {
    let tenant = tenant_of(&one.message)
        .map(Cow::into_owned)
        .unwrap_or_default();
    // Its own id is not checked yet: two messages may bear the same.
    let id = JobId::of_place(&one.held.place);
    let resume = one.resume.unwrap_or_else(|| {
        let received = one.held.place.received_at().unwrap_or_else(Utc::now);
        json(&Resume::fresh(id.clone(), received))
    });
    Sorted {
        entry: one.held.entry,
        id,
        weight: config.tenants.weight(&tenant),
        tenant,
        resume,
    }
}

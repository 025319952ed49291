//! The jobs of a queue that no worker has.

use std::collections::BTreeSet;

use longshore_broker::{Broker, BrokerError};
use longshore_client::{JobId, Lane, QueueName};
use longshore_protocol::{envelope::MessageLimits, id::EntryId};
use longshore_settings::suggest::closest;

use crate::{
    commands::jobs::{for_each_in_stream, for_each_parked},
    error::CommandError,
    options::LabelFilter,
};

/// Entries in flight read by one command.
const PAGE: usize = 200;

/// A job that no worker has.
pub(super) struct AvailableJob {
    pub(super) id: JobId,
    /// Its entry, or the one that it was parked from.
    pub(super) entry_id: EntryId,
    /// Whether it waits for the turn of its tenant.
    pub(super) is_parked: bool,
}

/// Fails if there is no such queue, with the name that may be meant.
pub(super) async fn check_queue(broker: &Broker, queue: &QueueName) -> Result<(), CommandError> {
    let queues = broker.queues().list().await?;
    if queues.contains(queue) {
        Ok(())
    } else {
        Err(CommandError::Input(unknown_queue(queue, &queues)))
    }
}

fn unknown_queue(queue: &QueueName, queues: &[QueueName]) -> String {
    let near = closest(queue.as_str(), queues.iter().map(QueueName::as_str));
    let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    format!("no queue `{queue}`{hint}")
}

/// The jobs of a queue that no worker has, in the order of the queue; those that wait for the turn of their tenant
/// come last.
pub(super) async fn find_available(
    broker: &Broker,
    queue: &QueueName,
    limits: &MessageLimits,
) -> Result<Vec<AvailableJob>, BrokerError> {
    let mut jobs = Vec::new();
    for stream in [queue.ready(), queue.clone()] {
        let held = in_flight(broker, &stream).await?;
        let every = LabelFilter::default();
        for_each_in_stream(broker, &stream, &every, limits, |id, entry_id| {
            if !held.contains(&entry_id) {
                jobs.push(AvailableJob {
                    id,
                    entry_id,
                    is_parked: false,
                });
            }
        })
        .await?;
    }
    let of_queue = LabelFilter {
        queue: Some(queue.clone()),
        ..LabelFilter::default()
    };
    let mut parked = Vec::new();
    for_each_parked(broker, &of_queue, limits, |id, job| {
        if matches!(Lane::parse(&job.lane), Lane::Tenant(_)) {
            parked.push((job.checkpoint.enqueued_at, id, job.entry_id));
        }
    })
    .await?;
    parked.sort();
    jobs.extend(parked.into_iter().map(|(_, id, entry_id)| AvailableJob {
        id,
        entry_id,
        is_parked: true,
    }));
    Ok(jobs)
}

/// The entries of a stream that workers hold.
async fn in_flight(broker: &Broker, stream: &QueueName) -> Result<BTreeSet<EntryId>, BrokerError> {
    let mut held = BTreeSet::new();
    let mut from = "-".to_owned();
    loop {
        let page = broker
            .queues()
            .pending_entries(stream, &from, "+", PAGE)
            .await?;
        let Some(last) = page.last() else {
            return Ok(held);
        };
        from = format!("({}", last.entry);
        let owned = page.iter().filter(|pending| pending.worker.is_some());
        held.extend(owned.map(|pending| EntryId::new(stream, &pending.entry)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_queue_is_told_what_may_be_meant() {
        let name = |name| QueueName::parse(name).unwrap();
        let queues = [name("bulk"), name("default")];
        assert_eq!(
            unknown_queue(&name("defualt"), &queues),
            "no queue `defualt`; did you mean `default`?"
        );
        assert_eq!(unknown_queue(&name("x"), &queues), "no queue `x`");
    }
}

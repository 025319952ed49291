//! Counts the jobs ahead of a job in its queue.

use longshore_broker::{Broker, BrokerError};
use longshore_protocol::id::{EntryId, QueueName};

/// Entries read by one command.
const PAGE: usize = 200;

/// Maximum bytes of messages read while counting.
const READ_BYTES: usize = 64 * 1024 * 1024;

/// The number of jobs ahead of this entry, and whether all of them were counted.
pub(super) async fn count_ahead(
    broker: &Broker,
    entry_id: &EntryId,
    handed_back: bool,
) -> Result<(usize, bool), BrokerError> {
    const COUNTED: usize = 5000;
    let (queue, entry) = entry_id.parts();
    let queue = &QueueName::from_stored(queue);
    let until = format!("({entry}");
    // Workers take jobs that were handed back before new ones.
    let to = if handed_back { until.as_str() } else { "+" };
    let delivered = broker
        .queues()
        .pending_entries(queue, "-", to, COUNTED)
        .await?;
    let mut complete = delivered.len() < COUNTED;
    let mut ahead = delivered
        .iter()
        .filter(|pending| pending.worker.is_none())
        .count();
    if handed_back {
        return Ok((ahead, complete));
    }
    let (mut from, mut counted, mut bytes) = (
        format!("({}", broker.queues().last_delivered(queue).await?),
        0,
        0,
    );
    loop {
        let page = broker
            .queues()
            .entries(queue, &from, &until, PAGE, false)
            .await?;
        counted += page.len();
        bytes += page
            .iter()
            .map(|(_, message)| message.size())
            .sum::<usize>();
        let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) else {
            break;
        };
        if counted >= COUNTED || bytes >= READ_BYTES {
            complete = false;
            break;
        }
        from = format!("({last}");
    }
    ahead += counted;
    Ok((ahead, complete))
}

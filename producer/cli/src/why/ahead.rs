//! Counts the jobs ahead of a job in its queue.

use longshore_broker::{Broker, BrokerError};
use longshore_protocol::id::{EntryId, QueueName};

/// Entries read by one command.
const PAGE: usize = 200;

/// The most jobs of a stream that are counted.
const COUNTED: usize = 5000;

/// Maximum bytes of messages read while counting in one stream.
const READ_BYTES: usize = 64 * 1024 * 1024;

/// A number of jobs, and whether all of them were counted.
#[derive(Debug, Clone, Copy)]
struct Count {
    jobs: usize,
    complete: bool,
}

impl Count {
    fn plus(self, other: Self) -> Self {
        Self {
            jobs: self.jobs + other.jobs,
            complete: self.complete && other.complete,
        }
    }
}

/// The number of jobs ahead of this entry, and whether all of them were counted. Workers take jobs that were handed back
/// first, then those that were released or bumped, then new ones; of handed-back ones, those of the ready stream.
pub(super) async fn count_ahead(
    broker: &Broker,
    entry_id: &EntryId,
    handed_back: bool,
) -> Result<(usize, bool), BrokerError> {
    let (stream, entry) = entry_id.parts();
    let stream = QueueName::from_stored(stream);
    let (ready, base) = (stream.ready(), stream.base());
    let is_ready = stream.is_ready();
    let until = format!("({entry}");
    let mut ahead = if handed_back {
        count_handed_back(broker, &stream, &until).await?
    } else {
        count_new(broker, &stream, &until)
            .await?
            .plus(count_handed_back(broker, &base, "+").await?)
    };
    if !(handed_back && is_ready) {
        ahead = ahead.plus(count_handed_back(broker, &ready, "+").await?);
    }
    if !handed_back && !is_ready {
        ahead = ahead.plus(count_new(broker, &ready, "+").await?);
    }
    Ok((ahead.jobs, ahead.complete))
}

/// The entries of a stream that were handed back, up to one.
async fn count_handed_back(
    broker: &Broker,
    stream: &QueueName,
    until: &str,
) -> Result<Count, BrokerError> {
    let delivered = broker
        .queues()
        .pending_entries(stream, "-", until, COUNTED)
        .await?;
    let handed_back = delivered.iter().filter(|pending| pending.worker.is_none());
    Ok(Count {
        jobs: handed_back.count(),
        complete: delivered.len() < COUNTED,
    })
}

/// The entries of a stream that were never delivered, up to one.
async fn count_new(broker: &Broker, stream: &QueueName, until: &str) -> Result<Count, BrokerError> {
    let last = broker.queues().last_delivered(stream).await?;
    let (mut from, mut jobs, mut bytes) = (format!("({last}"), 0, 0);
    loop {
        let page = broker
            .queues()
            .entries(stream, &from, until, PAGE, false)
            .await?;
        jobs += page.len();
        bytes += page
            .iter()
            .map(|(_, message)| message.size())
            .sum::<usize>();
        let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) else {
            return Ok(Count {
                jobs,
                complete: true,
            });
        };
        if jobs >= COUNTED || bytes >= READ_BYTES {
            return Ok(Count {
                jobs,
                complete: false,
            });
        }
        from = format!("({last}");
    }
}

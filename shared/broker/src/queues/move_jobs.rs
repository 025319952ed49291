//! Moves available jobs to another queue.

use longshore_protocol::id::{EntryId, QueueName};

use crate::{BrokerError, Queues, scripts};

/// The most jobs of one call: each may have a message of 1 MiB.
const MOST_JOBS: usize = 100;

/// The result of moving a job to another queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MovedJob {
    Yes,
    /// It is no longer there, or a worker has or had it.
    Gone,
}

impl Queues<'_> {
    /// Moves jobs to another queue, each by the entry that it has, or that it was parked from. They keep their ids and
    /// their order. Moves those that were never delivered or that wait for the turn of their tenant; the others stay.
    pub async fn move_jobs(
        self,
        jobs: &[EntryId],
        to: &QueueName,
    ) -> Result<Vec<MovedJob>, BrokerError> {
        let mut moved = Vec::with_capacity(jobs.len());
        for page in jobs.chunks(MOST_JOBS) {
            let mut call = scripts::MOVE_JOBS.key(self.broker.keys().parked());
            call.arg(self.broker.keys().prefix()).arg(to.as_str());
            for entry_id in page {
                let (queue, entry) = entry_id.parts();
                call.arg(queue)
                    .arg(entry)
                    .arg(self.fresh_checkpoint(entry_id)?);
            }
            let replies: Vec<String> = self.broker.run(&call).await?;
            for reply in &replies {
                moved.push(MovedJob::from_reply(reply)?);
            }
        }
        Ok(moved)
    }
}

impl MovedJob {
    fn from_reply(reply: &str) -> Result<Self, BrokerError> {
        match reply {
            "moved" => Ok(Self::Yes),
            "gone" => Ok(Self::Gone),
            _ => Err(BrokerError::unexpected_reply("move_jobs", reply)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::tests::check_words;

    #[test]
    fn every_reply_is_parsed() {
        let cases = [("moved", MovedJob::Yes), ("gone", MovedJob::Gone)];
        check_words("move_jobs", &cases, MovedJob::from_reply);
    }
}

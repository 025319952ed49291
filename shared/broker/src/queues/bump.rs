//! Bumps a job to the head of its queue.

use longshore_protocol::id::EntryId;

use crate::{BrokerError, Queues, scripts};

/// The result of bumping a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bumped {
    Yes,
    /// Workers take it before new jobs already: it was released, handed back or bumped before.
    AlreadyFirst,
    /// It is no longer there, or a worker has it.
    Gone,
}

impl Queues<'_> {
    /// Moves a job before every job of its queue that is new or waits for the turn of its tenant, behind those that were
    /// released, handed back or bumped before. The job is named by the entry that it has or was parked from.
    pub async fn bump(self, entry_id: &EntryId) -> Result<Bumped, BrokerError> {
        let (queue, entry) = entry_id.parts();
        let mut call = scripts::BUMP.key(self.broker.keys().parked());
        call.arg(self.broker.keys().prefix())
            .arg(queue)
            .arg(entry)
            .arg(self.fresh_checkpoint(entry_id)?);
        let reply: String = self.broker.run(&call).await?;
        Bumped::from_reply(&reply)
    }
}

impl Bumped {
    fn from_reply(reply: &str) -> Result<Self, BrokerError> {
        match reply {
            "bumped" => Ok(Self::Yes),
            "first" => Ok(Self::AlreadyFirst),
            "gone" => Ok(Self::Gone),
            _ => Err(BrokerError::unexpected_reply("bump", reply)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::tests::check_words;

    #[test]
    fn every_reply_is_parsed() {
        let cases = [
            ("bumped", Bumped::Yes),
            ("first", Bumped::AlreadyFirst),
            ("gone", Bumped::Gone),
        ];
        check_words("bump", &cases, Bumped::from_reply);
    }
}

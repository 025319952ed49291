//! Releases parked jobs before their time.

use longshore_protocol::{checkpoint::Checkpoint, id::EntryId, serialized::Serialized};

use crate::{BrokerError, Lanes, scripts};

/// The most jobs of one call: each may have a message of 1 MiB.
const MOST_JOBS: usize = 100;

/// The result of releasing a job before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleasedNow {
    /// It is in its queue again.
    Yes,
    /// It is parked in this lane, and not for a time.
    WaitsIn(String),
    /// It is no longer parked.
    Gone,
}

impl Lanes<'_> {
    /// Releases jobs that wait for their start time or for their next attempt, each by the entry that it was parked
    /// from, with the checkpoint that it has there. Other jobs stay where they are.
    pub async fn release_now(
        self,
        jobs: &[(EntryId, Checkpoint)],
    ) -> Result<Vec<ReleasedNow>, BrokerError> {
        let key = self.broker.keys().parked();
        let mut released = Vec::with_capacity(jobs.len());
        for page in jobs.chunks(MOST_JOBS) {
            let mut call = scripts::RELEASE_NOW.key(&key);
            call.arg(self.broker.keys().prefix());
            for (entry_id, checkpoint) in page {
                let checkpoint = Serialized::new(&checkpoint.clone().released_now())
                    .map_err(|error| BrokerError::foreign(&key, error))?;
                call.arg(entry_id.as_str()).arg(checkpoint.as_str());
            }
            let replies: Vec<String> = self.broker.run(&call).await?;
            for reply in &replies {
                released.push(ReleasedNow::from_reply(reply)?);
            }
        }
        Ok(released)
    }
}

impl ReleasedNow {
    fn from_reply(reply: &str) -> Result<Self, BrokerError> {
        match reply.split_once(' ') {
            None if reply == "released" => Ok(Self::Yes),
            None if reply == "gone" => Ok(Self::Gone),
            Some(("waits", lane)) => Ok(Self::WaitsIn(lane.to_owned())),
            _ => Err(BrokerError::unexpected_reply("release_now", reply)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::tests::check_replies;

    #[test]
    fn every_reply_is_parsed() {
        let waits = ReleasedNow::WaitsIn("tenant:bulk:a b".to_owned());
        check_replies(
            "release_now",
            &[
                (vec!["released"], ReleasedNow::Yes),
                (vec!["waits tenant:bulk:a b"], waits),
                (vec!["gone"], ReleasedNow::Gone),
            ],
            |reply| ReleasedNow::from_reply(&reply.concat()),
        );
    }
}

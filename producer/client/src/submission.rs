//! Whether an enqueued message became a job.

use longshore_protocol::id::{EntryId, JobId};

use crate::{
    client::{Client, Receipt},
    error::ClientError,
};

/// The state of an enqueued message whose job has an id of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submission {
    /// The message became the job.
    Accepted,
    /// No worker has read the message yet. An outcome under its id belongs to an earlier message.
    Unread,
    /// The same job was enqueued before, in this entry if it is still known. This message was dropped;
    /// the outcome of the first applies.
    Duplicate(Option<EntryId>),
    /// The message never becomes a job: it is malformed, or its id belongs to another job. Its outcome is that of its
    /// receipt.
    Refused {
        /// A code of the protocol, such as `id_conflict`.
        code: String,
        /// What is wrong, for people.
        error: String,
    },
}

impl Client {
    /// The state of an enqueued message. Always [`Submission::Accepted`] for a job without an id of its
    /// own.
    pub async fn submission(&self, receipt: &Receipt) -> Result<Submission, ClientError> {
        let Receipt { id, entry_id } = receipt;
        if *id == JobId::from_entry(entry_id) {
            return Ok(Submission::Accepted);
        }
        let first = self.broker().jobs().first_entry_id(id).await?;
        if first.as_ref() == Some(entry_id) {
            return Ok(Submission::Accepted);
        }
        if self.broker().queues().message_at(entry_id).await?.is_some() {
            return Ok(Submission::Unread);
        }
        if let Some((_, dead_letter, _)) = self
            .broker()
            .dead_letters()
            .newest(entry_id.as_str())
            .await?
            && dead_letter.record.id != *id
        {
            return Ok(Submission::Refused {
                code: dead_letter.record.reason,
                error: dead_letter.record.error,
            });
        }
        // A worker may have admitted it between the two reads.
        let first = self.broker().jobs().first_entry_id(id).await?;
        if first.as_ref() == Some(entry_id) {
            Ok(Submission::Accepted)
        } else {
            Ok(Submission::Duplicate(first))
        }
    }
}

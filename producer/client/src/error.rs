//! Errors of the client.

use std::io;

use longshore_broker::BrokerError;
use longshore_protocol::{
    chain::{BadChain, ChainId},
    envelope::Malformed,
    id::BadName,
};

/// Why a call of the client failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Redis did not answer, or rejected a command.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The namespace is not valid.
    #[error(transparent)]
    Name(#[from] BadName),
    /// No worker would accept this job. Nothing was enqueued.
    #[error("job {index}: {reason}")]
    Malformed {
        /// The position among the jobs of the call, from 0.
        index: usize,
        /// The field and what it should hold.
        reason: Malformed,
    },
    /// The document of a chain has faults. Nothing was enqueued.
    #[error(transparent)]
    Chain(#[from] BadChain),
    /// A chain with different content has this id.
    #[error("id `{id}` belongs to another chain with different content; use another id, or none")]
    ChainIdTaken {
        /// The id that both have.
        id: ChainId,
    },
    /// The id belongs to a chain.
    #[error("`{id}` is the id of a chain, not of a batch; use another id")]
    NotABatch {
        /// The id.
        id: ChainId,
    },
    /// A batch with this id holds different tasks.
    #[error(
        "batch `{id}` was started with different tasks: the {enqueued} that it holds are not the first of these; \
         use another id, or the same tasks in the same order"
    )]
    OtherTasks {
        /// The batch.
        id: ChainId,
        /// Tasks that the batch holds.
        enqueued: u64,
    },
    /// The batch was cancelled before all of its tasks were enqueued.
    #[error("batch `{id}` was cancelled after {enqueued} tasks were enqueued; use another id")]
    BatchCancelled {
        /// The batch.
        id: ChainId,
        /// Tasks that the batch holds.
        enqueued: u64,
    },
    /// The temporary file that holds the tasks of a batch cannot be used.
    #[error("cannot keep the tasks of the batch in a temporary file: {0}")]
    TemporaryFile(#[source] io::Error),
}

impl ClientError {
    /// Whether the same call may succeed soon: Redis is unreachable, starting, or failing over.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Broker(error) if is_transient(error))
    }
}

/// Whether the same command may succeed soon: Redis is unreachable, starting, or failing over.
pub fn is_transient(error: &BrokerError) -> bool {
    match error {
        BrokerError::Unreachable { .. } | BrokerError::Pool { .. } => true,
        BrokerError::Command { source, .. } => source.code() == Some("BUSY"),
        _ => false,
    }
}

//! The producer side of Longshore for Rust programs: enqueues jobs, chains and batches, waits for
//! their outcomes, and cancels them. It needs Redis only.
//!
//! # One job
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use longshore_client::{Client, Job};
//!
//! # async fn example() -> Result<(), longshore_client::ClientError> {
//! let client = Client::connect("redis://127.0.0.1:6379", "longshore").await?;
//! let job = Job::prompt("Name three primary colours.").task_type("research").reply(true);
//! let receipt = client.enqueue(&job).await?;
//! match client.wait_for(&receipt, Duration::from_secs(60)).await? {
//!     Some(outcome) => println!("{:?}", outcome.output),
//!     None => println!("{} has not ended yet", receipt.id),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Chains and batches
//!
//! [`ChainBuilder`] describes steps that depend on one another, [`BatchWriter`] collects independent
//! tasks with a limit on how many run at once. [`Client::enqueue_chain`] and
//! [`Client::enqueue_batch`] enqueue them, [`Client::wait_chain`] and [`Client::wait_batch`] wait.
//!
//! # What is safe to repeat
//!
//! If the connection breaks, a job may have been enqueued although the call failed. A job with an
//! id of its own ([`Job::id`]), a chain with an id and a batch can be enqueued again: each runs once.
//! [`ClientError::is_transient`] tells whether a repeated call may succeed.
#![warn(missing_docs)]

mod batch;
mod cancel;
mod chain;
mod client;
mod error;
mod job;
mod lane;
mod locate;
mod outcome;
mod submission;

pub use batch::{BatchReader, BatchTasks, BatchWriter, StoredTask};
pub use cancel::Cancellation;
pub use chain::{Chain, ChainBuilder, ChainEnd, ChainReceipt, ChainSubmission, Step};
pub use client::{Client, Receipt};
pub use error::{ClientError, is_transient};
pub use job::Job;
pub use lane::Lane;
pub use locate::{JobSnapshot, Location, without_marks};
pub use longshore_broker::{
    BatchPlan, BatchReport, ChainCancelled, ChainRetried, ChainRetry, ChainView, TaskReport,
};
pub use longshore_policy::redis::{RedisAccess, RedisSettings, RedisUrl};
pub use longshore_protocol::{
    call::{
        ChatMessage, Content, FunctionCall, ImageSource, InlineData, Part, ReasoningEffort, Role,
        ToolCall, ToolChoice,
    },
    chain::{BadChain, ChainFault, ChainId, ChainState, StepName, StepState},
    encryption::{BadKey, KeyId, Keyring},
    envelope::{AllMalformed, Limit, Malformed, MalformedCode, MessageLimits, Retry},
    id::{EntryId, JobId, QueueName, ReaderName},
    money::Usd,
    outcome::{ChainOutcome, Outcome, StepError, StepOutput},
    state::JobState,
};
pub use submission::Submission;

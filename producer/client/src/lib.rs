//! Puts jobs in, and reads what became of them.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use longshore_client::{Client, Job};
//!
//! # async fn example() -> Result<(), longshore_client::ClientError> {
//! let client = Client::connect("redis://127.0.0.1:6379", "longshore").await?;
//! let job = Job::prompt("Name three primary colours.").task_type("research").reply(true);
//! let receipt = client.submit(&job).await?;
//! if let Some(outcome) = client.wait(&receipt.id, Duration::from_secs(60)).await? {
//!     assert_eq!(outcome.id, receipt.id);
//! }
//! # Ok(())
//! # }
//! ```

pub mod client;
pub mod job;

pub use client::{Client, ClientError, Receipt};
pub use job::Job;
pub use longshore_shared::{
    envelope::{Limit, Limits, Malformed, MalformedCode, Retry},
    id::{JobId, Place, QueueName},
    money::Usd,
    outcome::Outcome,
};

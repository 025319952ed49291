//! What commands that wait have in common: Redis may go away, workers may be missing, the user may leave.

use std::{future::Future, time::Duration};

use longshore_broker::{Broker, BrokerError};
use longshore_client::{QueueName, is_transient};

use crate::error::CommandError;

/// After so long without progress, it is time to say why there may be none.
pub(crate) const EXPLAIN_AFTER: Duration = Duration::from_secs(2);

/// Tolerates a Redis that is unreachable for a while, and reports that once.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    is_unreachable: bool,
}

impl Outage {
    /// The value of `result`; `None` while Redis is unreachable.
    pub(crate) fn tolerate<T>(
        &mut self,
        result: Result<T, CommandError>,
        note: impl Fn(&str),
    ) -> Result<Option<T>, CommandError> {
        match result {
            Err(CommandError::Broker(error)) if is_transient(&error) => {
                if !self.is_unreachable {
                    self.is_unreachable = true;
                    note(&format!("{error}. Waiting for it to come back."));
                }
                Ok(None)
            }
            Err(error) => Err(error),
            Ok(value) => {
                if self.is_unreachable {
                    self.is_unreachable = false;
                    note("Redis is back.");
                }
                Ok(Some(value))
            }
        }
    }
}

/// Runs `work` to its end; `None` if the user presses Ctrl-C before.
pub(crate) async fn until_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        // Where it cannot be caught, it ends the program.
        Ok(()) = tokio::signal::ctrl_c() => None,
    }
}

/// Why no job of the queue starts: no worker pulls from it. `None` if one does.
pub(crate) async fn missing_worker(
    broker: &Broker,
    queue: &QueueName,
) -> Result<Option<String>, BrokerError> {
    let workers = broker.workers().list().await?;
    Ok(if workers.is_empty() {
        Some("No worker is running".to_owned())
    } else if workers.iter().any(|worker| worker.queues.contains(queue)) {
        None
    } else {
        Some(format!(
            "No running worker takes jobs from the queue `{queue}`"
        ))
    })
}

//! Shared by commands that wait: Redis outages, missing workers, Ctrl-C.

use std::{future::Future, time::Duration};

use longshore_broker::{Broker, BrokerError};
use longshore_client::{QueueName, is_transient};
use longshore_settings::suggest::closest;

use crate::error::CommandError;

/// A wait without progress for this long explains the likely cause.
pub(crate) const EXPLAIN_AFTER: Duration = Duration::from_secs(2);

/// Tolerates a temporary outage of Redis and reports it once.
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
                    note(&format!("{error}; retrying until it answers"));
                }
                Ok(None)
            }
            Err(error) => Err(error),
            Ok(value) => {
                if self.is_unreachable {
                    self.is_unreachable = false;
                    note("Redis answers again.");
                }
                Ok(Some(value))
            }
        }
    }
}

/// Runs `work` to completion; `None` if the user presses Ctrl-C first.
pub(crate) async fn until_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        // If the handler cannot be installed, Ctrl-C ends the program.
        Ok(()) = tokio::signal::ctrl_c() => None,
    }
}

/// The message if no running worker pulls from the queue; `None` if one does.
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
        let read = workers.iter().flat_map(|worker| &worker.queues);
        let near = closest(queue.as_str(), read.map(QueueName::as_str));
        let hint = near.map(|near| format!(" (did you mean `{near}`?)"));
        Some(format!(
            "No running worker pulls from queue `{queue}`{}",
            hint.unwrap_or_default()
        ))
    })
}

//! Shared by commands that wait: what they say, Redis outages, missing workers, Ctrl-C.

use std::{
    fmt,
    future::Future,
    time::{Duration, Instant},
};

use longshore_broker::{Broker, BrokerError};
use longshore_client::{QueueName, is_transient};
use longshore_settings::suggest::closest;

use crate::{error::CommandError, output, render::progress::Progress};

/// A wait without progress for this long explains the likely cause.
pub(crate) const EXPLAIN_AFTER: Duration = Duration::from_secs(2);

/// The pause between two checks that a worker reads the queue.
const CHECK_WORKERS_EVERY: Duration = Duration::from_secs(30);

/// What a wait says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WaitStatus {
    /// What is waited for, without counts and times that change all the time.
    key: String,
    /// One line.
    line: String,
    /// What else there is to know, such as the command that ends the wait.
    advice: Option<String>,
}

impl WaitStatus {
    pub(crate) fn new(key: impl Into<String>, line: String) -> Self {
        Self {
            key: key.into(),
            line,
            advice: None,
        }
    }

    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    pub(crate) fn with_advice(self, advice: Option<String>) -> Self {
        Self { advice, ..self }
    }
}

impl fmt::Display for WaitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

/// Shows what a wait waits for: on a terminal in the line of its progress, otherwise in a line each time it changes.
#[derive(Debug, Default)]
pub(crate) struct StatusLine {
    /// The key of what was said last.
    said: Option<String>,
}

impl StatusLine {
    pub(crate) fn show(&mut self, status: &WaitStatus, progress: &Progress) {
        if progress.is_visible() {
            progress.set_message(status.line.clone());
        }
        self.announce(status, progress);
    }

    /// As [`StatusLine::show`], for a progress that shows the line beside other things.
    pub(crate) fn announce(&mut self, status: &WaitStatus, progress: &Progress) {
        let WaitStatus { key, advice, .. } = status;
        let is_new = self.said.as_ref() != Some(key);
        if progress.is_visible() {
            // It has to be read whole, and longer than the line of progress stays.
            if let Some(advice) = advice.as_ref().filter(|_| is_new) {
                progress.note(advice);
            }
        } else if is_new {
            output::waiting(status);
        }
        self.said = Some(key.clone());
    }

    /// Nothing is waited for any more: what comes next is new.
    pub(crate) fn forget(&mut self) {
        self.said = None;
    }
}

/// Checks now and then that a worker reads the queue: each check scans the keys.
#[derive(Debug, Default)]
pub(crate) struct WorkerCheck {
    checked_at: Option<Instant>,
    missing: Option<String>,
}

impl WorkerCheck {
    /// As [`missing_worker`], up to half a minute ago.
    pub(crate) async fn missing(
        &mut self,
        broker: &Broker,
        queue: &QueueName,
    ) -> Result<Option<String>, BrokerError> {
        let is_recent = |checked_at: Instant| checked_at.elapsed() < CHECK_WORKERS_EVERY;
        if !self.checked_at.is_some_and(is_recent) {
            self.missing = missing_worker(broker, queue).await?;
            self.checked_at = Some(Instant::now());
        }
        Ok(self.missing.clone())
    }
}

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

/// Warns before a task is left in a queue that no worker has ever read: its name may be misspelt. A producer's user may not
/// look; it gets no warning.
pub(crate) async fn warn_if_unread(broker: &Broker, queue: &QueueName) {
    if *queue == QueueName::default() {
        return;
    }
    let is_read = broker.queues().has_been_read(queue).await;
    // The check for workers scans the keys, so it is made for such a queue alone.
    if let Ok(false) = is_read
        && let Ok(Some(missing)) = missing_worker(broker, queue).await
    {
        output::warning(format_args!("{missing}; what you enqueue waits there"));
    }
}

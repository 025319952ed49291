//! Background tasks of all programs.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt as _;
use tokio::task::JoinHandle;

/// Spawns a task. If it panics, the log names it, even if nobody awaits the handle.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    // Combinators, not an async block: that would hold the future twice.
    tokio::spawn(
        AssertUnwindSafe(future)
            .catch_unwind()
            .map(move |result| match result {
                Ok(output) => output,
                Err(panic) => {
                    tracing::error!(task = name, "task panicked");
                    resume_unwind(panic)
                }
            }),
    )
}

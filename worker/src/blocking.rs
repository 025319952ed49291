//! CPU work whose size a producer decides. It runs on threads of its own, so that the heartbeat and all other jobs go on.

use std::{num::NonZeroUsize, sync::LazyLock, thread};

use tokio::{sync::Semaphore, task};

/// A kind of work, with the number of threads that it may keep busy: half of the processors.
pub(crate) struct Work(LazyLock<Semaphore>);

/// Templates of chains. They stop after some seconds.
pub(crate) static TEMPLATES: Work = Work::new();

/// JSON schemas, and answers that are checked against them.
pub(crate) static SCHEMAS: Work = Work::new();

/// Reading, searching and changing the files of workspaces. It stops at its timeout.
pub(crate) static FILES: Work = Work::new();

/// The work panicked.
#[derive(Debug, thiserror::Error)]
#[error("internal error: the work stopped before its end")]
pub(crate) struct Stopped;

impl Work {
    const fn new() -> Self {
        Self(LazyLock::new(|| {
            let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
            Semaphore::new((processors / 2).max(1))
        }))
    }

    /// Runs the work when a thread is free.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        // The semaphore is never closed.
        let _slot = self.0.acquire().await;
        task::spawn_blocking(work).await.map_err(|_panic| Stopped)
    }
}

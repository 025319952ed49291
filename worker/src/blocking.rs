//! CPU work whose size a producer decides, such as templates and JSON schemas. It runs on threads of its own, so that
//! the heartbeat and all other jobs go on.

use std::{num::NonZeroUsize, sync::LazyLock, thread};

use tokio::{sync::Semaphore, task};

/// Half of the processors at most do such work: the rest are for everything else.
static SLOTS: LazyLock<Semaphore> = LazyLock::new(|| {
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Semaphore::new((processors / 2).max(1))
});

/// The work panicked.
#[derive(Debug, thiserror::Error)]
#[error("internal error: the work stopped before its end")]
pub(crate) struct Stopped;

/// Runs the work when a slot is free.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stopped> {
    // The semaphore is never closed.
    let _slot = SLOTS.acquire().await;
    task::spawn_blocking(work).await.map_err(|_panic| Stopped)
}

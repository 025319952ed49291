//! Tests that measure share this machine: who measures load runs alone, who keeps a deadline runs beside
//! few others. Each has a short form for every day and a full one, and prints its figures.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Tests with deadlines that run at a time.
const FEW: u32 = 3;

static MACHINE: Semaphore = Semaphore::const_new(FEW as usize);

/// Waits until no other of these tests runs, and keeps the others waiting.
pub(crate) async fn alone() -> SemaphorePermit<'static> {
    MACHINE.acquire_many(FEW).await.unwrap()
}

/// Waits until few other of these tests run, and none alone.
pub(crate) async fn beside_few() -> SemaphorePermit<'static> {
    MACHINE.acquire().await.unwrap()
}

/// The short form's figure, or the full one's (`LONGSHORE_TEST_FULL=1`).
pub(crate) fn size<T>(short: T, full: T) -> T {
    let wants_full =
        std::env::vars().any(|(name, value)| name == "LONGSHORE_TEST_FULL" && value == "1");
    if wants_full { full } else { short }
}

/// Prints what was measured; `--nocapture` shows it.
#[expect(clippy::print_stderr, reason = "figures for whoever asks for them")]
pub(crate) fn print_figures(figures: &str) {
    eprintln!("{figures}");
}

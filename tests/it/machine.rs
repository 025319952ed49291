//! Sharing this machine between tests that measure: one that measures load runs alone, those with deadlines
//! run three at a time. `tests/run.sh` keeps all other tests away from both.

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many tests with deadlines run at a time.
const FEW: u32 = 4;

static MACHINE: Semaphore = Semaphore::const_new(FEW as usize);

/// Waits until no other test that measures runs, and blocks the others.
pub(crate) async fn alone() -> SemaphorePermit<'static> {
    MACHINE.acquire_many(FEW).await.unwrap()
}

/// Waits until at most three others with deadlines run, and none that runs alone.
pub(crate) async fn beside_few() -> SemaphorePermit<'static> {
    MACHINE.acquire().await.unwrap()
}

/// The figure of the short form, or of the full one (`LONGSHORE_TEST_FULL=1`).
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

//! What tests have in common that measure: a short form for every day and the full one, and their figures.

use tokio::sync::{Mutex, MutexGuard};

static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until no other of these tests runs.
pub(crate) async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// The short form's figure, or the full one's (`LONGSHORE_TEST_FULL=1`).
pub(crate) fn size<T>(short: T, full: T) -> T {
    let wants_full =
        std::env::vars().any(|(name, value)| name == "LONGSHORE_TEST_FULL" && value == "1");
    if wants_full { full } else { short }
}

/// Says what was measured, to whoever asks for it with `--nocapture`.
#[expect(clippy::print_stderr, reason = "figures for whoever asks for them")]
pub(crate) fn tell(figures: &str) {
    eprintln!("{figures}");
}

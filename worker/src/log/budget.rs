//! How many lines of one kind a process writes: thousands of jobs may fail for one reason.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The most lines in a span: enough to see each job of a small trouble.
const LINES: u32 = 500;

/// How long a span lasts.
const SPAN: Duration = Duration::from_secs(10);

/// Allows [`LINES`] lines per [`SPAN`], and counts the others.
#[derive(Debug)]
pub(super) struct Budget {
    /// What the lines are about.
    kind: &'static str,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    span_began: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl Budget {
    pub(super) fn of(kind: &'static str) -> Self {
        Self {
            kind,
            counts: Mutex::default(),
        }
    }

    /// Whether another line may be written now; if not, it counts as left out.
    pub(super) fn may_write(&self) -> bool {
        self.may_write_at(Instant::now())
    }

    /// Logs how many lines were left out since the last call, if any were.
    pub(super) fn report_left_out(&self) {
        let left_out = self.take_left_out();
        if left_out > 0 {
            tracing::warn!(
                kind = self.kind,
                left_out,
                "too many log lines of one kind: some were left out; the ledger has all (`longshore failures`)"
            );
        }
    }

    fn may_write_at(&self, now: Instant) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |began| now.saturating_duration_since(began) >= SPAN;
        if counts.span_began.is_none_or(is_over) {
            counts.span_began = Some(now);
            counts.written = 0;
        }
        let may = counts.written < LINES;
        if may {
            counts.written += 1;
        } else {
            counts.left_out += 1;
        }
        may
    }

    fn take_left_out(&self) -> u64 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut counts.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let (budget, start) = (Budget::of("tests"), Instant::now());
        let written = |at: Duration| {
            let lines = (0..10_000).filter(|_| budget.may_write_at(start + at));
            lines.count()
        };
        assert_eq!(written(Duration::ZERO), 500);
        assert_eq!(written(SPAN / 2), 0);
        assert_eq!(budget.take_left_out(), 19_500);
        assert_eq!(budget.take_left_out(), 0);
        assert_eq!(written(SPAN), 500);
        assert_eq!(budget.take_left_out(), 9_500);
    }
}

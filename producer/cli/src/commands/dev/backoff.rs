//! Delays between the restarts of a process.

use std::time::{Duration, Instant};

use longshore_service::backoff::{self, Schedule};

const FIRST_DELAY: Duration = Duration::from_millis(200);
const MAX_DELAY: Duration = Duration::from_secs(10);

/// A process that ran this long was healthy: the delays start over.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

/// The restart delays of one process.
#[derive(Debug)]
pub(super) struct Backoff {
    delays: backoff::Backoff,
    started: Instant,
    due: Option<Instant>,
}

impl Backoff {
    /// For a process that has just started.
    pub(super) fn new() -> Self {
        Self {
            delays: backoff::Backoff::new(Schedule::exact(FIRST_DELAY, MAX_DELAY)),
            started: Instant::now(),
            due: None,
        }
    }

    /// Records an exit or a failed start; returns the delay before the next start.
    pub(super) fn failed(&mut self) -> Duration {
        self.failed_at(Instant::now())
    }

    fn failed_at(&mut self, now: Instant) -> Duration {
        if now.saturating_duration_since(self.started) >= HEALTHY_AFTER {
            self.delays.reset();
        }
        let delay = self.delays.next_delay();
        self.due = Some(now + delay);
        delay
    }

    /// Whether the process has exited and waits for its restart.
    pub(super) fn is_waiting(&self) -> bool {
        self.due.is_some()
    }

    /// Whether the restart is due; if so, the process counts as started.
    pub(super) fn take_due(&mut self) -> bool {
        self.take_due_at(Instant::now())
    }

    fn take_due_at(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            self.due = None;
            self.started = now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_until_the_process_was_healthy() {
        let mut backoff = Backoff::new();
        let mut now = backoff.started;
        let mut delays = Vec::new();
        for _ in 0..7 {
            let delay = backoff.failed_at(now);
            assert!(backoff.is_waiting() && !backoff.take_due_at(now));
            now += delay;
            assert!(backoff.take_due_at(now) && !backoff.is_waiting());
            delays.push(delay.as_millis());
        }
        assert_eq!(delays, [200, 400, 800, 1600, 3200, 6400, 10000]);
        assert_eq!(backoff.failed_at(now + HEALTHY_AFTER), FIRST_DELAY);
    }
}

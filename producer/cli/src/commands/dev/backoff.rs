//! When a process that died is started again.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// A process that ran for so long was healthy: after its end the pauses begin anew.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

/// The pauses between the lives of one process.
#[derive(Debug)]
pub(super) struct Backoff {
    pauses: ExponentialBackoff,
    started: Instant,
    due: Option<Instant>,
}

impl Backoff {
    /// For a process that has just started.
    pub(super) fn new() -> Self {
        Self {
            pauses: pauses(),
            started: Instant::now(),
            due: None,
        }
    }

    /// The process died, or could not be started; the pause before the next start.
    pub(super) fn failed(&mut self) -> Duration {
        self.failed_at(Instant::now())
    }

    fn failed_at(&mut self, now: Instant) -> Duration {
        if now.saturating_duration_since(self.started) >= HEALTHY_AFTER {
            self.pauses = pauses();
        }
        let pause = self.pauses.next().unwrap_or(LONGEST);
        self.due = Some(now + pause);
        pause
    }

    /// Whether the process is known to be dead.
    pub(super) fn is_waiting(&self) -> bool {
        self.due.is_some()
    }

    /// Whether it is time to start the process; then it counts as started.
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

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST)
        .with_max_delay(LONGEST)
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_the_process_was_healthy_for_a_while() {
        let mut backoff = Backoff::new();
        let mut now = backoff.started;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let pause = backoff.failed_at(now);
            assert!(backoff.is_waiting() && !backoff.take_due_at(now));
            now += pause;
            assert!(backoff.take_due_at(now) && !backoff.is_waiting());
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10000]);
        assert_eq!(backoff.failed_at(now + HEALTHY_AFTER), FIRST);
    }
}

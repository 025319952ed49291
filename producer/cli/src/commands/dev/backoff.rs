//! When to start again what died.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// What ran for so long was well: its next end is a first one.
const WELL_AFTER: Duration = Duration::from_secs(30);

/// The pauses between the lives of one process.
#[derive(Debug)]
pub(super) struct Backoff {
    pause: Duration,
    started: Instant,
    due: Option<Instant>,
}

impl Backoff {
    /// Of what has just started.
    pub(super) fn new() -> Self {
        Self {
            pause: FIRST,
            started: Instant::now(),
            due: None,
        }
    }

    /// It died, or could not be started; how long it is left alone.
    pub(super) fn failed(&mut self) -> Duration {
        self.failed_at(Instant::now())
    }

    fn failed_at(&mut self, now: Instant) -> Duration {
        if now.saturating_duration_since(self.started) >= WELL_AFTER {
            self.pause = FIRST;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST);
        self.due = Some(now + pause);
        pause
    }

    /// Whether it is known to be dead.
    pub(super) fn waits(&self) -> bool {
        self.due.is_some()
    }

    /// Whether it is time to start it; then it counts as started.
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
    fn pauses_grow_until_it_was_well_for_a_while() {
        let mut backoff = Backoff::new();
        let mut now = backoff.started;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let pause = backoff.failed_at(now);
            assert!(backoff.waits() && !backoff.take_due_at(now));
            now += pause;
            assert!(backoff.take_due_at(now) && !backoff.waits());
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10000]);
        assert_eq!(backoff.failed_at(now + WELL_AFTER), FIRST);
    }
}

//! A limit on replays per second.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;

/// Spreads replays evenly over each second and catches up after a delay.
#[derive(Debug)]
pub(super) struct Pace {
    rate: u64,
    began: Instant,
    started: u64,
}

impl Pace {
    /// The first replay may start immediately.
    pub(super) fn new(rate: NonZeroU32) -> Self {
        Self {
            rate: u64::from(rate.get()),
            began: Instant::now(),
            started: 0,
        }
    }

    /// Waits until a replay may start. Returns how many may start: at least one, at most `max`.
    pub(super) async fn next_slots(&mut self, max: usize) -> usize {
        let next = Duration::from_micros(self.started * 1_000_000 / self.rate);
        tokio::time::sleep_until(self.began + next).await;
        let passed = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let due = passed.saturating_mul(self.rate) / 1_000_000 + 1;
        let max = u64::try_from(max).unwrap_or(u64::MAX);
        let count = due.saturating_sub(self.started).clamp(1, max.max(1));
        self.started += count;
        usize::try_from(count).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn replays_do_not_exceed_the_rate() {
        let mut pace = Pace::new(NonZeroU32::new(1000).unwrap());
        let began = Instant::now();
        let mut started = 0;
        while started < 50 {
            started += pace.next_slots(4).await;
        }
        assert!(
            began.elapsed() >= Duration::from_millis(46),
            "{:?}",
            began.elapsed()
        );
    }
}

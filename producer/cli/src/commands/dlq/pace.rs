//! A limit of replays a second.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;

/// Spreads replays evenly over each second; delays are made up for.
#[derive(Debug)]
pub(super) struct Pace {
    rate: u64,
    began: Instant,
    gone: u64,
}

impl Pace {
    /// The first replay may start at once.
    pub(super) fn new(rate: NonZeroU32) -> Self {
        Self {
            rate: u64::from(rate.get()),
            began: Instant::now(),
            gone: 0,
        }
    }

    /// Waits until a replay may start; the number that may, at most `most` and at least one.
    pub(super) async fn next_slots(&mut self, most: usize) -> usize {
        let next = Duration::from_micros(self.gone * 1_000_000 / self.rate);
        tokio::time::sleep_until(self.began + next).await;
        let passed = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let due = passed.saturating_mul(self.rate) / 1_000_000 + 1;
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let some = due.saturating_sub(self.gone).clamp(1, most.max(1));
        self.gone += some;
        usize::try_from(some).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_go_than_may() {
        let mut pace = Pace::new(NonZeroU32::new(1000).unwrap());
        let began = Instant::now();
        let mut gone = 0;
        while gone < 50 {
            gone += pace.next_slots(4).await;
        }
        assert!(
            began.elapsed() >= Duration::from_millis(46),
            "{:?}",
            began.elapsed()
        );
    }
}

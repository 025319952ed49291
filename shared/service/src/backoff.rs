//! Backoff: the schedules by which failed operations are retried.
//!
//! No other module names `backon`.
#![expect(
    clippy::disallowed_types,
    reason = "this module is the one that may name `backon`"
)]

use std::{fmt::Display, future::Future, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

/// The delays between the attempts of an operation. They double and never end.
#[derive(Debug, Clone, Copy)]
pub struct Schedule(ExponentialBuilder);

impl Schedule {
    /// Connecting to Redis or Postgres when a service starts: from 200 ms to 5 s.
    pub const CONNECT: Self = Self::jittered(Duration::from_millis(200), Duration::from_secs(5));

    /// Subscribing again to a channel, whose messages are lost meanwhile: 1 s.
    pub const RESUBSCRIBE: Self = Self::jittered(Duration::from_secs(1), Duration::from_secs(1));

    /// Repeating a background task that failed: from 20 ms to 2 s.
    pub const BACKGROUND_TASK: Self =
        Self::jittered(Duration::from_millis(20), Duration::from_secs(2));

    /// Delays that double from `first` to `longest`. Each is shortened at random by up to half, so that
    /// processes that failed together do not retry together.
    pub const fn jittered(first: Duration, longest: Duration) -> Self {
        // The jitter of `backon` adds up to a whole delay.
        Self(Self::doubling(half(first), half(longest)).with_jitter())
    }

    /// Delays that double from `first` to `longest`, without jitter.
    pub const fn exact(first: Duration, longest: Duration) -> Self {
        Self(Self::doubling(first, longest))
    }

    /// The delay after this many failures in a row, from 1.
    pub fn nth_delay(self, failures: u32) -> Duration {
        let nth = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
        whole_millis(self.0.build().nth(nth))
    }

    const fn doubling(first: Duration, longest: Duration) -> ExponentialBuilder {
        ExponentialBuilder::new()
            .with_min_delay(first)
            .with_max_delay(longest)
            .without_max_times()
    }
}

/// The delays of one operation, which start again after a success.
#[derive(Debug)]
pub struct Backoff {
    schedule: Schedule,
    delays: Option<ExponentialBackoff>,
}

impl Backoff {
    /// Costs nothing until the first failure.
    pub const fn new(schedule: Schedule) -> Self {
        Self {
            schedule,
            delays: None,
        }
    }

    /// The delay after another failure, in whole milliseconds.
    pub fn next_delay(&mut self) -> Duration {
        let schedule = self.schedule;
        let delays = self.delays.get_or_insert_with(|| schedule.0.build());
        whole_millis(delays.next())
    }

    /// The operation succeeded: the next failure starts the schedule again.
    pub fn reset(&mut self) {
        self.delays = None;
    }
}

/// Runs `operation` until it succeeds, or returns `None` once `stop` is set.
///
/// Each failure is logged as `NAME failed: ERROR; retrying in 1s`. An attempt that has begun is not
/// interrupted. An operation whose error is permanent returns it as a success (`Ok(Err(error))`).
pub async fn retry_until_stopped<T, E, F>(
    name: &str,
    schedule: Schedule,
    stop: &CancellationToken,
    mut operation: impl FnMut() -> F,
) -> Option<T>
where
    E: Display,
    F: Future<Output = Result<T, E>>,
{
    let mut backoff = Backoff::new(schedule);
    loop {
        match operation().await {
            Ok(value) => return Some(value),
            Err(error) => {
                let delay = backoff.next_delay();
                tracing::warn!("{name} failed: {error}; retrying in {delay:?}");
                stop.run_until_cancelled(tokio::time::sleep(delay)).await?;
            }
        }
    }
}

const fn half(delay: Duration) -> Duration {
    match delay.checked_div(2) {
        Some(half) => half,
        None => delay,
    }
}

/// Rounds a delay, because log lines show it. A schedule never ends, so there always is one.
fn whole_millis(delay: Option<Duration>) -> Duration {
    let half = Duration::from_micros(500);
    let millis = delay.map_or(0, |delay| delay.saturating_add(half).as_millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_jitter_at_most_halves_them() {
        let mut backoff = Backoff::new(Schedule::CONNECT);
        for expected_ms in [200, 400, 800, 1600, 3200, 5000, 5000] {
            let longest = Duration::from_millis(expected_ms);
            let delay = backoff.next_delay();
            assert!((longest / 2..=longest).contains(&delay), "{delay:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(200));
    }

    #[test]
    fn the_nth_delay_follows_the_schedule() {
        let schedule = Schedule::exact(Duration::from_secs(2), Duration::from_mins(10));
        let delays = [1, 2, 9, 10, 13].map(|failures| schedule.nth_delay(failures).as_secs());
        assert_eq!(delays, [2, 4, 512, 600, 600]);
    }

    const IMMEDIATELY: Schedule = Schedule::exact(Duration::ZERO, Duration::ZERO);

    #[tokio::test]
    async fn an_operation_is_retried_until_it_succeeds() {
        let attempts = Cell::new(0);
        let operation = || async {
            attempts.set(attempts.get() + 1);
            if attempts.get() < 3 {
                Err("connection refused")
            } else {
                Ok(attempts.get())
            }
        };
        let stop = CancellationToken::new();
        let result = retry_until_stopped("test", IMMEDIATELY, &stop, operation).await;
        assert_eq!(result, Some(3));
    }

    #[tokio::test]
    async fn a_set_token_ends_the_retries() {
        let stop = CancellationToken::new();
        stop.cancel();
        let attempts = Cell::new(0);
        let operation = || async {
            attempts.set(attempts.get() + 1);
            Err::<(), _>("connection refused")
        };
        let hour = Duration::from_hours(1);
        let result =
            retry_until_stopped("test", Schedule::exact(hour, hour), &stop, operation).await;
        assert_eq!((result, attempts.get()), (None, 1));
    }
}

//! Backoff: the schedules by which failed operations are retried.

use std::{future::Future, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use longshore_broker::BrokerError;

/// Doubling delays with jitter, without an end. The jitter adds up to the delay itself.
const fn jittered(first: Duration, longest: Duration) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
}

/// For streams of jobs and events, and writes to Postgres: from 100 ms to 5 s.
pub(crate) const fn reconnect() -> ExponentialBuilder {
    jittered(Duration::from_millis(100), Duration::from_secs(5))
}

/// For subscriptions, whose messages are lost meanwhile: from 500 ms to 1 s.
pub(crate) const fn resubscribe() -> ExponentialBuilder {
    jittered(Duration::from_millis(500), Duration::from_secs(1))
}

/// For heartbeats, which must arrive before they expire: 250 to 500 ms each.
pub(crate) const fn heartbeat() -> ExponentialBuilder {
    jittered(Duration::from_millis(250), Duration::from_millis(250))
}

/// For commands that must be answered: from 50 ms to 2 s.
pub(crate) const fn until_answered() -> ExponentialBuilder {
    jittered(Duration::from_millis(50), Duration::from_secs(2))
}

/// For webhooks: from 2 s to 10 minutes, without jitter, for the delays are documented.
pub(crate) const fn webhook() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs(2))
        .with_max_delay(Duration::from_mins(10))
        .without_max_times()
}

/// The delay after the `failures`-th failure in a row, from 1.
pub(crate) fn nth_delay(schedule: ExponentialBuilder, failures: u32) -> Duration {
    let nth = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    // An endless schedule has an n-th delay.
    schedule.build().nth(nth).unwrap_or_default()
}

/// The delays of one operation. Costs nothing until the first failure.
pub(crate) struct Backoff {
    schedule: ExponentialBuilder,
    delays: Option<ExponentialBackoff>,
}

impl Backoff {
    pub(crate) fn new(schedule: ExponentialBuilder) -> Self {
        Self {
            schedule,
            delays: None,
        }
    }

    /// The delay after another failure.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let schedule = self.schedule;
        let delays = self.delays.get_or_insert_with(|| schedule.build());
        // The schedules of this module have no end.
        delays.next().unwrap_or(Duration::from_secs(1))
    }

    /// The operation succeeded: the next failure starts the schedule again.
    pub(crate) fn reset(&mut self) {
        self.delays = None;
    }
}

/// Retries `command` until Redis answers. Every command is fenced, so that running it again after a lost
/// reply does no harm. `name` appears in the log.
pub(crate) async fn retry_until_answered<T, F>(name: &str, mut command: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, BrokerError>>,
{
    let mut backoff = Backoff::new(until_answered());
    loop {
        match command().await {
            Ok(answer) => return answer,
            Err(error) => {
                let delay = backoff.next_delay();
                metrics::counter!("longshore_redis_errors_total").increment(1);
                tracing::warn!("Redis command `{name}` failed: {error}; retrying in {delay:.1?}");
                tokio::time::sleep(delay).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_jitter_at_most_doubles_them() {
        let mut backoff = Backoff::new(reconnect());
        for expected_ms in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let expected = Duration::from_millis(expected_ms);
            let delay = backoff.next_delay();
            assert!((expected..=2 * expected).contains(&delay), "{delay:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(200));
    }

    #[test]
    fn webhooks_wait_two_seconds_at_first_and_ten_minutes_at_most() {
        let delays = [1, 2, 9, 10, 13].map(|failures| nth_delay(webhook(), failures).as_secs());
        assert_eq!(delays, [2, 4, 512, 600, 600]);
    }
}

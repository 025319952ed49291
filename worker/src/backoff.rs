//! The worker's schedules for retries.

use std::{future::Future, time::Duration};

use longshore_broker::BrokerError;
use longshore_service::backoff::{Backoff, Schedule};
use longshore_service::instruments::REDIS_ERRORS;

/// Streams of jobs and events, and writes to Postgres: from 100 ms to 5 s.
pub(crate) const RECONNECT: Schedule =
    Schedule::jittered(Duration::from_millis(100), Duration::from_secs(5));

/// Heartbeats, which must arrive before they expire: 500 ms.
pub(crate) const HEARTBEAT: Schedule =
    Schedule::jittered(Duration::from_millis(500), Duration::from_millis(500));

/// Commands that Redis must answer: from 50 ms to 2 s.
const UNTIL_ANSWERED: Schedule =
    Schedule::jittered(Duration::from_millis(50), Duration::from_secs(2));

/// Webhooks: from 2 s to 10 minutes, without jitter, because the delays are documented.
pub(crate) const WEBHOOK: Schedule =
    Schedule::exact(Duration::from_secs(2), Duration::from_mins(10));

/// Retries `command` until Redis answers. Every command is fenced, so that running it again after a lost
/// reply does no harm. `name` appears in the log.
pub(crate) async fn retry_until_answered<T, F>(name: &str, mut command: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, BrokerError>>,
{
    let mut backoff = Backoff::new(UNTIL_ANSWERED);
    loop {
        match command().await {
            Ok(answer) => return answer,
            Err(error) => {
                let delay = backoff.next_delay();
                REDIS_ERRORS.add([], 1);
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
    fn webhooks_wait_two_seconds_at_first_and_ten_minutes_at_most() {
        let delays = [1, 2, 9, 10, 13].map(|failures| WEBHOOK.nth_delay(failures).as_secs());
        assert_eq!(delays, [2, 4, 512, 600, 600]);
    }
}

//! Steps that must have an answer are repeated until they do.

use std::{future::Future, time::Duration};

use longshore_broker::BrokerError;

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Repeats `step` until Redis has answered. Every step is fenced, so that one whose reply was lost
/// does no harm when it is asked again.
pub(crate) async fn patiently<T, F>(what: &str, mut step: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, BrokerError>>,
{
    let mut wait = FIRST_WAIT;
    loop {
        match step().await {
            Ok(answer) => return answer,
            Err(error) => {
                metrics::counter!("longshore_redis_errors_total").increment(1);
                tracing::warn!("{what}: {error}; again in {wait:?}");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

//! A random delay before each call, for services that object to automated calls.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use longshore_policy::catalog::CallDelay;
use longshore_protocol::call::{Answer, Call, CallError};

use super::dialect::Provider;

/// A provider that is called after a random delay. The time limit of the call starts after the delay.
pub(crate) struct Paced {
    provider: Arc<dyn Provider>,
    pace: CallDelay,
}

impl Paced {
    /// Delays each call of `provider`.
    pub(crate) fn new(provider: Arc<dyn Provider>, pace: CallDelay) -> Self {
        Self { provider, pace }
    }
}

impl Provider for Paced {
    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, CallError>> {
        Box::pin(async move {
            tokio::time::sleep(random_delay(self.pace, rand::random())).await;
            self.provider.call(call).await
        })
    }
}

/// A delay between both limits, by `luck` from 0 to 1.
fn random_delay(pace: CallDelay, luck: f64) -> Duration {
    pace.min + pace.max.saturating_sub(pace.min).mul_f64(luck)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use longshore_protocol::call::ErrorClass;

    use super::*;
    use crate::provider::tests::call;

    struct Failing;

    impl Provider for Failing {
        fn call<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Result<Answer, CallError>> {
            Box::pin(async { Err(CallError::new(ErrorClass::Overloaded, "called")) })
        }
    }

    #[test]
    fn delays_are_between_both_limits() {
        let seconds = Duration::from_secs;
        let pace = CallDelay {
            min: seconds(1),
            max: seconds(10),
        };
        assert_eq!(
            [0.0, 0.5, 1.0].map(|luck| random_delay(pace, luck)),
            [seconds(1), Duration::from_millis(5500), seconds(10)]
        );
    }

    #[tokio::test]
    async fn the_time_limit_of_the_call_starts_after_the_delay() {
        let wait = Duration::from_millis(60);
        let provider = Paced::new(
            Arc::new(Failing),
            CallDelay {
                min: wait,
                max: wait,
            },
        );
        let mut call = call();
        call.timeout = Duration::from_millis(1);
        let start = Instant::now();
        assert_eq!(provider.call(&call).await.unwrap_err().message, "called");
        assert!(start.elapsed() >= wait);
    }
}

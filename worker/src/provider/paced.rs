//! A wait before each call, for services that dislike machines.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use longshore_policy::catalog::Pace;
use longshore_protocol::call::{Answer, Call, CallError};

use super::Provider;

/// A provider that is asked after a random wait. The call's time begins after it.
pub struct Paced {
    provider: Arc<dyn Provider>,
    pace: Pace,
}

impl Paced {
    /// Waits before each call of `provider`.
    pub fn new(provider: Arc<dyn Provider>, pace: Pace) -> Self {
        Self { provider, pace }
    }
}

impl Provider for Paced {
    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, CallError>> {
        Box::pin(async move {
            tokio::time::sleep(wait(self.pace, rand::random())).await;
            self.provider.call(call).await
        })
    }
}

/// A wait; `luck` of 0 to 1 is the part of what is between the two.
fn wait(pace: Pace, luck: f64) -> Duration {
    pace.min + pace.max.saturating_sub(pace.min).mul_f64(luck)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use longshore_protocol::call::ErrorClass;

    use super::*;
    use crate::provider::tests::call;

    struct Now;

    impl Provider for Now {
        fn call<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Result<Answer, CallError>> {
            Box::pin(async { Err(CallError::new(ErrorClass::Overloaded, "asked")) })
        }
    }

    #[test]
    fn waits_are_between_the_two() {
        let seconds = Duration::from_secs;
        let pace = Pace {
            min: seconds(1),
            max: seconds(10),
        };
        assert_eq!(
            [0.0, 0.5, 1.0].map(|luck| wait(pace, luck)),
            [seconds(1), Duration::from_millis(5500), seconds(10)]
        );
    }

    #[tokio::test]
    async fn the_call_follows_the_wait_and_has_its_own_time() {
        let wait = Duration::from_millis(60);
        let provider = Paced::new(
            Arc::new(Now),
            Pace {
                min: wait,
                max: wait,
            },
        );
        let mut call = call();
        call.timeout = Duration::from_millis(1);
        let start = Instant::now();
        assert_eq!(provider.call(&call).await.unwrap_err().message, "asked");
        assert!(start.elapsed() >= wait);
    }
}

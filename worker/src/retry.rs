//! What follows a failed attempt: another on the same platform after a wait, the next platform, or
//! the end.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use longshore_config::Config;
use longshore_policy::retry::RetryPolicy;
use longshore_protocol::{
    call::{CallError, ErrorClass},
    envelope::{Envelope, Retry},
};

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The same platform, after this long.
    Again(Duration),
    /// The next platform.
    Elsewhere,
    /// Nothing: no other platform can do better.
    End,
}

/// The policy that holds for a job: its own figures, the one that it names, or the config's.
///
/// A name that the config does not know is the producer's mistake, told as such.
pub fn policy(config: &Config, envelope: &Envelope) -> Result<RetryPolicy, String> {
    match &envelope.retry {
        None => Ok(config.retry.clone()),
        Some(Retry::Policy(name)) => config.retries.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = config.retries.keys().map(String::as_str).collect();
            let known = if known.is_empty() {
                "the config has none under `retries:`".to_owned()
            } else {
                format!("expected one of {}", known.join(", "))
            };
            format!("retry policy `{name}` is not known; {known}")
        }),
        Some(Retry::Custom {
            max_retries,
            base_delay,
            max_delay,
        }) => {
            let base = base_delay.unwrap_or(config.retry.base_delay);
            Ok(RetryPolicy {
                max_retries: max_retries.unwrap_or(config.retry.max_retries),
                base_delay: base,
                max_delay: max_delay.unwrap_or(config.retry.max_delay).max(base),
                ..config.retry.clone()
            })
        }
    }
}

/// What follows the `tries`-th failure in a row on one platform (from 1). `luck` of 0 to 1 is the
/// part of the jitter that is added.
pub fn next(policy: &RetryPolicy, tries: u32, error: &CallError, luck: f64) -> Next {
    match error.class {
        _ if ends_job(error) => Next::End,
        class if !class.is_retryable() || tries > policy.max_retries => Next::Elsewhere,
        _ => Next::Again(wait(policy, tries, error.retry_after, luck)),
    }
}

/// Whether no other platform can do better: every one would be asked the same wrong thing. A 404 is about
/// this platform's address or model.
fn ends_job(error: &CallError) -> bool {
    match error.class {
        ErrorClass::BadRequest => error.status != Some(404),
        class => class == ErrorClass::Internal,
    }
}

/// Base, doubled with each try, and jitter; never before `Retry-After`.
fn wait(policy: &RetryPolicy, tries: u32, retry_after: Option<Duration>, luck: f64) -> Duration {
    let mut backoff = ExponentialBuilder::default()
        .with_min_delay(policy.base_delay)
        .with_max_delay(policy.max_delay)
        .with_factor(2.0)
        .without_max_times()
        .build();
    let nth = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
    let backoff = backoff.nth(nth).unwrap_or(policy.max_delay);
    (backoff + policy.jitter.mul_f64(luck.clamp(0.0, 1.0))).max(retry_after.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(class: ErrorClass) -> CallError {
        CallError::new(class, "no")
    }

    #[test]
    fn waits_double_and_jitter_adds_up_to_three_seconds() {
        let policy = RetryPolicy::default();
        let millis = |tries, luck| match next(&policy, tries, &failed(ErrorClass::Overloaded), luck)
        {
            Next::Again(wait) => wait.as_millis(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            [1, 2, 3].map(|tries| millis(tries, 0.0)),
            [1000, 2000, 4000]
        );
        assert_eq!(
            [1, 2, 3].map(|tries| millis(tries, 1.0)),
            [4000, 5000, 7000]
        );
    }

    #[test]
    fn retry_after_is_never_undercut() {
        let policy = RetryPolicy::default();
        let mut error = failed(ErrorClass::RateLimited);
        error.retry_after = Some(Duration::from_secs(32));
        assert_eq!(
            next(&policy, 1, &error, 1.0),
            Next::Again(Duration::from_secs(32))
        );
        error.retry_after = Some(Duration::from_millis(10));
        assert_eq!(
            next(&policy, 1, &error, 0.0),
            Next::Again(Duration::from_secs(1))
        );
    }

    #[test]
    fn three_retries_then_elsewhere() {
        let policy = RetryPolicy::default();
        assert_eq!(
            next(&policy, 4, &failed(ErrorClass::Timeout), 0.0),
            Next::Elsewhere
        );
    }

    #[test]
    fn what_does_not_pass_is_not_tried_again() {
        let policy = RetryPolicy::default();
        for class in [
            ErrorClass::Auth,
            ErrorClass::QuotaExhausted,
            ErrorClass::ContextTooLong,
            ErrorClass::Refused,
        ] {
            assert_eq!(
                next(&policy, 1, &failed(class), 0.0),
                Next::Elsewhere,
                "{class}"
            );
        }
        let mut rejected = failed(ErrorClass::BadRequest);
        assert_eq!(next(&policy, 1, &rejected, 0.0), Next::End);
        // The model is unknown here; another platform has its own.
        rejected.status = Some(404);
        assert_eq!(next(&policy, 1, &rejected, 0.0), Next::Elsewhere);
    }
}

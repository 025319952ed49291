//! The retry policy of a job, and what it says about a failure.

use std::time::Duration;

use longshore_config::Config;
use longshore_policy::retry::RetryPolicy;
use longshore_protocol::{
    call::{CallError, ErrorClass, Remedy},
    envelope::{Envelope, Retry},
};
use longshore_service::backoff::Schedule;

use crate::disposition::Discard;

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterFailure {
    /// Another attempt on the same platform, after this wait.
    SamePlatform(Duration),
    /// Another attempt on the same platform at once, which says what was wrong with the answer.
    ToldFault,
    /// Another attempt on the same platform at once, with a larger token limit.
    LargerLimit,
    OtherPlatform,
    /// Another platform, at the expense of the repairs that are left.
    OtherModel,
    /// No other platform can do better, or no repair is left.
    GiveUp,
}

/// The retry policy of a job: its own figures, the policy that it names, or the configured default. Fails if
/// it names a policy that is not configured.
pub(crate) fn retry_policy(config: &Config, envelope: &Envelope) -> Result<RetryPolicy, Discard> {
    match &envelope.retry {
        None => Ok(config.retry.clone()),
        Some(Retry::Policy(name)) => config.retries.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = config.retries.keys().map(String::as_str).collect();
            let expected = if known.is_empty() {
                "none is configured under `retries:`".to_owned()
            } else {
                format!("expected one of {}", known.join(", "))
            };
            let error = format!("unknown retry policy `{name}`; {expected}");
            Discard::new(ErrorClass::BadRequest.as_str(), error)
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

/// What follows the `failures`-th failure in a row on one platform, from 1, of a job that has been repaired
/// `repairs` times. `luck`, from 0 to 1, is the share of the jitter that is added to the wait.
pub(super) fn after_failure(
    policy: &RetryPolicy,
    (failures, repairs): (u32, u32),
    error: &CallError,
    luck: f64,
) -> AfterFailure {
    let has_retries = failures <= policy.max_retries;
    match error.remedy {
        Remedy::Repeat if has_retries => {
            let wait = retry_delay(policy, failures, error.retry_after, luck);
            AfterFailure::SamePlatform(wait)
        }
        Remedy::Repeat | Remedy::OtherPlatform => AfterFailure::OtherPlatform,
        Remedy::TellFault | Remedy::LargerLimit | Remedy::OtherModel
            if repairs >= policy.max_repairs =>
        {
            AfterFailure::GiveUp
        }
        Remedy::TellFault if has_retries => AfterFailure::ToldFault,
        Remedy::LargerLimit if has_retries => AfterFailure::LargerLimit,
        Remedy::TellFault | Remedy::LargerLimit | Remedy::OtherModel => AfterFailure::OtherModel,
        Remedy::Nothing => AfterFailure::GiveUp,
    }
}

/// The base delay, doubled with each failure, plus jitter; never shorter than `Retry-After`.
fn retry_delay(
    policy: &RetryPolicy,
    failures: u32,
    retry_after: Option<Duration>,
    luck: f64,
) -> Duration {
    let schedule = Schedule::exact(policy.base_delay, policy.max_delay);
    let jitter = policy.jitter.mul_f64(luck.clamp(0.0, 1.0));
    (schedule.nth_delay(failures) + jitter).max(retry_after.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(class: ErrorClass) -> CallError {
        CallError::new(class, "no")
    }

    #[test]
    fn delays_double_and_jitter_adds_up_to_three_seconds() {
        let policy = RetryPolicy::default();
        let millis = |failures, luck| match after_failure(
            &policy,
            (failures, 0),
            &failed(ErrorClass::Overloaded),
            luck,
        ) {
            AfterFailure::SamePlatform(wait) => wait.as_millis(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            [1, 2, 3].map(|failures| millis(failures, 0.0)),
            [1000, 2000, 4000]
        );
        assert_eq!(
            [1, 2, 3].map(|failures| millis(failures, 1.0)),
            [4000, 5000, 7000]
        );
    }

    #[test]
    fn the_wait_is_never_shorter_than_retry_after() {
        let policy = RetryPolicy::default();
        let mut error = failed(ErrorClass::RateLimited);
        error.retry_after = Some(Duration::from_secs(32));
        assert_eq!(
            after_failure(&policy, (1, 0), &error, 1.0),
            AfterFailure::SamePlatform(Duration::from_secs(32))
        );
        error.retry_after = Some(Duration::from_millis(10));
        assert_eq!(
            after_failure(&policy, (1, 0), &error, 0.0),
            AfterFailure::SamePlatform(Duration::from_secs(1))
        );
    }

    #[test]
    fn three_retries_then_the_next_platform() {
        let policy = RetryPolicy::default();
        assert_eq!(
            after_failure(&policy, (4, 0), &failed(ErrorClass::Timeout), 0.0),
            AfterFailure::OtherPlatform
        );
    }

    #[test]
    fn permanent_failures_are_not_retried() {
        let policy = RetryPolicy::default();
        for class in [
            ErrorClass::Auth,
            ErrorClass::QuotaExhausted,
            ErrorClass::ContextTooLong,
        ] {
            assert_eq!(
                after_failure(&policy, (1, 0), &failed(class), 0.0),
                AfterFailure::OtherPlatform,
                "{class}"
            );
        }
        let ours = failed(ErrorClass::BadRequest);
        assert_eq!(
            after_failure(&policy, (1, 0), &ours, 0.0),
            AfterFailure::GiveUp
        );
        assert_eq!(
            after_failure(&policy, (1, 0), &ours.remedy(Remedy::OtherPlatform), 0.0),
            AfterFailure::OtherPlatform
        );
    }

    #[test]
    fn what_repetition_does_not_mend_is_repaired_once() {
        let policy = RetryPolicy::default();
        let refused = failed(ErrorClass::Refused);
        let other_form = failed(ErrorClass::BadOutput).remedy(Remedy::TellFault);
        let after = |tries, error| after_failure(&policy, tries, error, 0.0);
        assert_eq!(after((1, 0), &refused), AfterFailure::OtherModel);
        assert_eq!(after((1, 1), &refused), AfterFailure::GiveUp);
        assert_eq!(after((1, 0), &other_form), AfterFailure::ToldFault);
        assert_eq!(after((1, 1), &other_form), AfterFailure::GiveUp);
        let cut_off = failed(ErrorClass::BadOutput).remedy(Remedy::LargerLimit);
        assert_eq!(after((1, 0), &cut_off), AfterFailure::LargerLimit);
        assert_eq!(after((1, 1), &cut_off), AfterFailure::GiveUp);
        assert_eq!(after((4, 0), &cut_off), AfterFailure::OtherModel);
        assert_eq!(
            after((4, 0), &other_form),
            AfterFailure::OtherModel,
            "no retry is left on this platform"
        );
    }
}

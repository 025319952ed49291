use chrono::TimeDelta;
use longshore_protocol::{
    checkpoint::{Checkpoint, PastAttempt},
    envelope::RawMessage,
    id::{AttemptId, EntryId, JobId},
    platform::PlatformName,
};

use super::*;

fn now() -> DateTime<Utc> {
    "2026-12-01T12:00:00Z".parse().unwrap()
}

fn tasks(in_flight: u64, not_started: u64) -> Sampled {
    Sampled {
        noun: "task",
        in_flight,
        not_started,
    }
}

/// A job in a lane; if that is the lane of times, due after so many seconds, and after a failure of this class.
fn parked(lane: &str, seconds: Option<i64>, failed: Option<ErrorClass>) -> ParkedJob {
    let mut checkpoint = Checkpoint::fresh(JobId::parse("b/task/1").unwrap(), now());
    if let Some(error_class) = failed {
        checkpoint.remember(PastAttempt {
            attempt_id: AttemptId::new(),
            at: now(),
            platform: "openai".to_owned(),
            model: "gpt-4o-mini".to_owned(),
            error_class,
            error: "no".to_owned(),
            cost: None,
        });
    }
    ParkedJob {
        entry_id: EntryId::from_stored("1-0"),
        queue: QueueName::default(),
        checkpoint,
        due_ms: seconds.map(|seconds| (now() + TimeDelta::seconds(seconds)).timestamp_millis()),
        lane: lane.to_owned(),
        message: RawMessage { fields: Vec::new() },
    }
}

fn waits(sampled: u64, jobs: &[ParkedJob], holds: &[AccountHold]) -> Waits {
    let mut waits = Waits {
        sampled,
        ..Waits::default()
    };
    for job in jobs {
        waits.add(job, holds);
    }
    waits
}

fn said(waits: &Waits, sampled: Sampled) -> String {
    let status = waits.status(sampled, now());
    status.map_or_else(|| "-".to_owned(), |status| status.to_string())
}

#[test]
fn tasks_are_grouped_by_what_they_wait_for() {
    let mut all = waits(5, &vec![parked("quota:rpd:gemini", None, None); 5], &[]);
    for group in all.groups.values_mut() {
        group.until = Some(now() + TimeDelta::hours(21));
    }
    let limited = parked("time", Some(32), Some(ErrorClass::RateLimited));
    let failed = parked("time", Some(12), Some(ErrorClass::Overloaded));
    let paused = parked("paused:type:research", None, None);
    let mixed = [limited.clone(), limited, failed, paused];
    let lines = [
        said(&all, tasks(5, 115)),
        said(&waits(5, &mixed, &[]), tasks(5, 0)),
        said(&waits(20, &mixed, &[]), tasks(5, 0)),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    5 tasks wait for gemini's requests a day until 2026-12-02 09:00 UTC; 115 not started
    2 tasks wait for the rate limit of openai for 32s more; 1 task waits for the next attempt after a failure (overloaded at openai) for 12s more; 1 task waits for type research to be resumed
    -
    ");
    assert!(all.all_wait());
    assert!(!waits(5, &mixed, &[]).all_wait());
}

#[test]
fn a_hold_is_named_with_its_remedy_and_a_sample_stands_for_all() {
    let hold = AccountHold {
        account: PlatformName::from_stored("gemini".to_owned()),
        until: now() + TimeDelta::hours(3),
        reason: "Quota exceeded".to_owned(),
        access: None,
    };
    let held = vec![parked("time", Some(3 * 3600), None); 10];
    let sample = waits(20, &held, &[hold]);
    insta::assert_snapshot!(said(&sample, tasks(200, 0)), @"about 100 tasks wait for account gemini, on hold until 2026-12-01 15:00 UTC; account gemini on hold until 2026-12-01T15:00:00Z (Quota exceeded); `longshore resume provider gemini --now` ends the hold");
    assert_eq!(sample.ends().max(), Some(now() + TimeDelta::hours(3)));
    assert!(!sample.all_wait());
}

//! What failed, in groups.

use longshore_protocol::{
    call::ErrorClass,
    event::{AttemptRecord, JobRecord},
    id::AttemptId,
};
use uuid::Uuid;

use super::{
    facts::{attempt, job, time, version},
    postgres::Database,
    *,
};

/// Attempt `n`, which failed at second `n`.
fn failed(n: u32, platform: &str, class: ErrorClass) -> AttemptRecord {
    AttemptRecord {
        platform: platform.to_owned(),
        error_class: Some(class),
        error: Some(format!("failure {n}")),
        ..attempt(&format!("job-{n}"), n, AttemptOutcome::Failed)
    }
}

/// A job that was discarded at second `n` + 2 before any call.
fn discarded(n: u64) -> JobRecord {
    JobRecord {
        platform: None,
        model: None,
        attempts: 0,
        error: Some("the deadline has passed".to_owned()),
        error_class: Some("expired".to_owned()),
        ..job(&format!("job-{n}"), n, JobState::Discarded)
    }
}

fn filter(by: &[FailureKey]) -> FailureFilter {
    FailureFilter {
        since: time(10),
        task_type: None,
        queue: None,
        tenant: None,
        chain_id: None,
        platform: None,
        by: by.to_vec(),
        limit: 10,
    }
}

fn texts(failures: &Failures) -> Vec<String> {
    let text = |group: &FailureGroup| {
        let labels = group.labels.iter();
        let labels: Vec<&str> = labels
            .map(|(_, label)| label.as_deref().unwrap_or("-"))
            .collect();
        let (job, error) = group.example.clone().unwrap();
        format!(
            "{} {}+{} {job} {}",
            labels.join("/"),
            group.attempts,
            group.jobs,
            error.as_deref().unwrap_or("-"),
        )
    };
    failures.largest.iter().map(text).collect()
}

#[tokio::test]
async fn failures_are_counted_by_what_they_have_in_common() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let attempts = [
        failed(9, "a", ErrorClass::Overloaded),
        failed(10, "a", ErrorClass::Overloaded),
        failed(11, "a", ErrorClass::Overloaded),
        failed(12, "a", ErrorClass::Timeout),
        failed(13, "b", ErrorClass::Overloaded),
        attempt("job-14", 14, AttemptOutcome::Lost),
        attempt("job-15", 15, AttemptOutcome::Completed),
        attempt("job-16", 16, AttemptOutcome::Cancelled),
        AttemptRecord {
            attempt_id: AttemptId(Uuid::now_v7()),
            ..failed(17, "a", ErrorClass::Overloaded)
        },
    ];
    let attempts = attempts.into_iter().map(|attempt| Event {
        attempt: Some(Box::new(attempt)),
        ..Event::default()
    });
    let jobs = [
        discarded(3),
        discarded(20),
        job("job-21", 21, JobState::Completed),
    ];
    let jobs = jobs.into_iter().map(|job| Event {
        job: Some(Box::new(job)),
        ..Event::default()
    });
    let events: Vec<_> = (1..).map(version).zip(attempts.chain(jobs)).collect();
    ledger.record(&events).await.unwrap();

    let by_all = filter(&[FailureKey::Platform, FailureKey::Class]);
    let failures = ledger.failures(&by_all).await.unwrap();
    assert_eq!(
        (failures.attempts, failures.jobs, failures.groups),
        (6, 1, 5)
    );
    assert_eq!(
        texts(&failures),
        [
            "overloaded/a 3+0 job-17 failure 17",
            "expired/- 0+1 job-20 the deadline has passed",
            "lost/openai 1+0 job-14 -",
            "overloaded/b 1+0 job-13 failure 13",
            "timeout/a 1+0 job-12 failure 12",
        ]
    );
    let first = failures.largest.first().unwrap();
    assert_eq!((first.first_at, first.last_at), (time(10), time(17)));

    let by_platform = FailureFilter {
        limit: 1,
        ..filter(&[FailureKey::Platform])
    };
    let failures = ledger.failures(&by_platform).await.unwrap();
    assert_eq!(
        (failures.attempts, failures.jobs, failures.groups),
        (6, 1, 4)
    );
    assert_eq!(texts(&failures), ["a 4+0 job-17 failure 17"]);

    let only_b = FailureFilter {
        platform: Some("b".to_owned()),
        ..filter(&[FailureKey::Type])
    };
    let failures = ledger.failures(&only_b).await.unwrap();
    assert_eq!(texts(&failures), ["research 1+0 job-13 failure 13"]);

    let later = FailureFilter {
        since: time(1000),
        ..filter(&[FailureKey::Class])
    };
    assert_eq!(ledger.failures(&later).await.unwrap(), Failures::default());
}

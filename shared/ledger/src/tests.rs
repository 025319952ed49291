//! Tests against a real Postgres.

mod answer_lengths;
mod audit;
mod chains;
mod costs;
mod facts;
mod failure_groups;
mod failures;
mod idempotence;
mod partitions;
mod postgres;
mod quotas;
mod reviews;
mod schema;
mod totals;
mod window_usage;

use chrono::{DateTime, Utc};
use longshore_protocol::{
    event::{DeadLetterEnd, DeadLetterResolution, Event},
    id::JobId,
    state::{AttemptOutcome, JobState},
};

use self::{
    facts::{attempt, dead, dropped, event, job, version},
    postgres::Database,
};
use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn id(text: &str) -> JobId {
    JobId::parse(text).unwrap()
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let database = Database::empty().await;
    let ledger = &database.ledger;
    let pending = ledger.pending_migrations().await.unwrap();
    assert_eq!(pending.first().map(String::as_str), Some("0001 jobs"));
    let (one, other) = tokio::join!(ledger.migrate(), ledger.migrate());
    one.unwrap();
    other.unwrap();
    ledger.migrate().await.unwrap();
    assert!(ledger.pending_migrations().await.unwrap().is_empty());
    ledger.ping().await.unwrap();
    assert!(
        ledger
            .version()
            .await
            .unwrap()
            .starts_with(|c: char| c.is_ascii_digit())
    );
}

#[tokio::test]
async fn a_recorded_job_is_read_back() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let mut whole = event(job("a", 3, JobState::Discarded));
    whole.attempt = Some(Box::new(attempt("a", 1, AttemptOutcome::Failed)));
    whole.dead = Some(Box::new(dead("a")));
    whole.dropped = Some(Box::new(dropped("9-9", "a")));
    ledger.record(&[(version(3), whole.clone())]).await.unwrap();

    let read = ledger.job(&id("a")).await.unwrap().unwrap();
    assert_eq!(Some(&read.row.job), whole.job.as_deref());
    assert_eq!(read.row.cost_usd, "0.000001".parse().unwrap());
    assert_eq!(
        read.history,
        Vec::from_iter(whole.attempt.map(|call| *call))
    );
    assert_eq!(
        read.dropped,
        Vec::from_iter(whole.dropped.map(|drop| *drop))
    );
    let letter = read.dead_letters.first().unwrap();
    assert_eq!(Some(&letter.dead), whole.dead.as_deref());
    assert_eq!((&letter.letter, letter.resolution), (&None, None));
    assert_eq!(ledger.job(&id("b")).await.unwrap(), None);
}

#[tokio::test]
async fn outcomes_of_finished_jobs_are_in_the_ledger() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let mut whole = event(job("a", 3, JobState::Discarded));
    whole.attempt = Some(Box::new(attempt("a", 1, AttemptOutcome::Failed)));
    let running = event(job("b", 2, JobState::Running));
    ledger
        .record(&[(version(3), whole.clone()), (version(4), running)])
        .await
        .unwrap();
    let ids = ["a", "b", "c"].map(id);
    let found = ledger.outcomes(&ids).await.unwrap();
    let [outcome] = &found[..] else {
        panic!("one of three jobs is finished: {found:?}");
    };
    let recorded = whole.job.unwrap();
    assert_eq!(outcome.id, recorded.labels.job_id);
    assert_eq!(outcome.state, recorded.state);
    assert_eq!(outcome.output, recorded.output);
    assert_eq!(outcome.metadata, recorded.metadata);
    assert_eq!(outcome.cost_usd, "0.000001".parse().unwrap());
    assert_eq!((outcome.queued_ms, outcome.duration_ms), (1000, 1000));
}

#[tokio::test]
async fn jobs_are_found_by_every_field_newest_first() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let states = [
        JobState::Completed,
        JobState::Discarded,
        JobState::Completed,
    ];
    let events: Vec<_> = (1..)
        .zip(states)
        .map(|(n, state)| (version(n), event(job(&format!("j{n}"), n, state))))
        .collect();
    ledger.record(&events).await.unwrap();

    let find = async |filter: JobFilter| {
        let found = ledger.jobs(&filter).await.unwrap();
        found
            .into_iter()
            .map(|row| row.job.labels.job_id.to_string())
            .collect::<Vec<_>>()
    };
    let all = JobFilter::default;
    assert_eq!(find(all()).await, ["j3", "j2", "j1"]);
    assert_eq!(
        find(JobFilter {
            limit: Some(2),
            ..all()
        })
        .await,
        ["j3", "j2"]
    );
    let page = |before: &str| JobFilter {
        before: Some((job(before, 2, JobState::Completed).enqueued_at, id(before))),
        ..all()
    };
    assert_eq!(find(page("j2")).await, ["j1"]);
    assert_eq!(
        find(page("j3")).await,
        ["j2", "j1"],
        "of the same time, by id"
    );
    let state = |state| JobFilter {
        state: Some(state),
        ..all()
    };
    assert_eq!(find(state(JobState::Completed)).await, ["j3", "j1"]);
    assert_eq!(find(state(JobState::Discarded)).await, ["j2"]);
    assert_eq!(find(state(JobState::Running)).await, [""; 0]);
    let since = job("j2", 2, JobState::Completed).enqueued_at;
    assert_eq!(
        find(JobFilter {
            since: Some(since),
            ..all()
        })
        .await,
        ["j3", "j2"]
    );
    for (yes, no) in [
        (
            JobFilter {
                tenant: Some("acme".into()),
                ..all()
            },
            JobFilter {
                tenant: Some("x".into()),
                ..all()
            },
        ),
        (
            JobFilter {
                chain_id: Some("ch".into()),
                ..all()
            },
            JobFilter {
                chain_id: Some("x".into()),
                ..all()
            },
        ),
        (
            JobFilter {
                task_type: Some("research".into()),
                ..all()
            },
            JobFilter {
                task_type: Some("x".into()),
                ..all()
            },
        ),
        (
            JobFilter {
                platform: Some("openai".into()),
                ..all()
            },
            JobFilter {
                platform: Some("x".into()),
                ..all()
            },
        ),
        (
            JobFilter {
                queue: Some(longshore_protocol::id::QueueName::default()),
                ..all()
            },
            JobFilter {
                queue: Some(longshore_protocol::id::QueueName::parse("x").unwrap()),
                ..all()
            },
        ),
    ] {
        assert_eq!(find(yes.clone()).await, ["j3", "j2", "j1"], "{yes:?}");
        assert_eq!(find(no.clone()).await, [""; 0], "{no:?}");
    }
}

#[tokio::test]
async fn an_event_may_resolve_a_dead_letter() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let letter = dead("a");
    let end = |resolution| DeadLetterEnd {
        id: letter.id.clone(),
        at: letter.at,
        resolution,
        gone_at: at("2026-12-01T12:00:00Z"),
    };
    let resolved = |resolution| Event {
        dead_end: Some(Box::new(end(resolution))),
        ..Event::default()
    };
    let died = Event {
        dead: Some(Box::new(letter.clone())),
        job: Some(Box::new(job("a", 1, JobState::Discarded))),
        ..Event::default()
    };
    let batch = [
        (version(2), resolved(DeadLetterResolution::Replayed)),
        (version(3), resolved(DeadLetterResolution::Purged)),
        (version(1), died),
    ];
    for _ in 0..2 {
        ledger.record(&batch).await.unwrap();
    }
    let history = ledger.job(&id("a")).await.unwrap().unwrap().dead_letters;
    let [row] = history.as_slice() else {
        panic!("one letter: {history:?}")
    };
    assert_eq!(row.resolution, Some(DeadLetterResolution::Replayed));
    assert_eq!(row.gone_at, Some(at("2026-12-01T12:00:00Z")));
}

#[tokio::test]
async fn a_dead_letter_may_be_archived_and_resolved_before_it_is_recorded() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let letter = dead("a");
    let keys = [
        (letter.id.clone(), letter.at),
        (letter.id.clone(), letter.at),
    ];
    ledger
        .resolve_dead_letters(&keys, DeadLetterResolution::Replayed)
        .await
        .unwrap();
    ledger
        .resolve_dead_letters(&keys, DeadLetterResolution::Expired)
        .await
        .unwrap();
    let text = r#"{"prompt":"\u0000 stays"}"#.to_owned();
    ledger
        .archive_dead_letters(&[(letter.clone(), text.clone())])
        .await
        .unwrap();
    ledger
        .archive_dead_letters(&[(letter.clone(), "{}".to_owned())])
        .await
        .unwrap();
    let mut later = Event {
        dead: Some(Box::new(letter.clone())),
        ..Event::default()
    };
    later.job = Some(Box::new(job("a", 1, JobState::Discarded)));
    ledger.record(&[(version(1), later)]).await.unwrap();

    let history = ledger.job(&id("a")).await.unwrap().unwrap().dead_letters;
    let [row] = history.as_slice() else {
        panic!("one letter: {history:?}")
    };
    assert_eq!(row.dead, letter);
    assert_eq!(row.letter, Some(text));
    assert!(row.archived_at.is_some() && row.gone_at.is_some());
    assert_eq!(row.resolution, Some(DeadLetterResolution::Replayed));

    // In the other order.
    let letter = dead("b");
    let first = Event {
        dead: Some(Box::new(letter.clone())),
        job: Some(Box::new(job("b", 1, JobState::Discarded))),
        ..Event::default()
    };
    ledger.record(&[(version(2), first)]).await.unwrap();
    ledger
        .archive_dead_letters(&[(letter, "{}".to_owned())])
        .await
        .unwrap();
    let history = ledger.job(&id("b")).await.unwrap().unwrap().dead_letters;
    assert_eq!(history.first().unwrap().letter.as_deref(), Some("{}"));
}

#[tokio::test]
async fn jobs_are_found_by_error_model_and_metadata() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let failed = |id: &str, n: u64, class: &str, error: &str| {
        let mut record = job(id, n, JobState::Discarded);
        record.error_class = Some(class.to_owned());
        record.error = Some(error.to_owned());
        record
    };
    let mut other_model = failed("c", 3, "overloaded", "b: Overloaded (HTTP 529)");
    other_model.model = Some("large".to_owned());
    let jobs = [
        failed("a", 1, "overloaded", "a: Overloaded (HTTP 503)"),
        failed("b", 2, "timeout", "a: no answer within 100% of 5 s"),
        other_model,
        job("d", 4, JobState::Completed),
    ];
    let events: Vec<_> = (1..).map(version).zip(jobs.map(event)).collect();
    ledger.record(&events).await.unwrap();
    let found = |filter: JobFilter| async move {
        let rows = ledger.jobs(&filter).await.unwrap();
        let ids = rows
            .into_iter()
            .map(|row| row.job.labels.job_id.to_string());
        ids.collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    let any = JobFilter::default;
    let of_class = JobFilter {
        error_class: text("overloaded"),
        ..any()
    };
    assert_eq!(found(of_class).await, ["c", "a"]);
    let saying = JobFilter {
        error: text("OVERLOADED (http 5"),
        ..any()
    };
    assert_eq!(found(saying).await, ["c", "a"]);
    // Not a pattern.
    let saying = JobFilter {
        error: text("100% of"),
        ..any()
    };
    assert_eq!(found(saying).await, ["b"]);
    let saying = JobFilter {
        error: text("HTTP%503"),
        ..any()
    };
    assert!(found(saying).await.is_empty());
    let with_model = JobFilter {
        model: text("large"),
        ..any()
    };
    assert_eq!(found(with_model).await, ["c"]);
    let metadata = |value: serde_json::Value| JobFilter {
        metadata: value.as_object().cloned(),
        ..any()
    };
    assert_eq!(found(metadata(serde_json::json!({"n": 2}))).await, ["b"]);
    assert!(
        found(metadata(serde_json::json!({"n": "2"})))
            .await
            .is_empty()
    );
    assert_eq!(
        found(metadata(serde_json::json!({}))).await,
        ["d", "c", "b", "a"]
    );
}

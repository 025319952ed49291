//! The rows are the same for any order, grouping and repetition of events.

use std::collections::BTreeMap;

use longshore_protocol::{
    event::{AttemptRecord, Event, JobRecord},
    state::{AttemptOutcome, JobState},
};
use proptest::{prelude::*, sample::Index, test_runner::TestRunner};
use tokio::runtime::Runtime;

use super::{
    facts::{attempt, dead, dropped, job, version},
    postgres::Database,
};
use crate::{EventId, JobFilter, Ledger};

/// Event `n` of a history, with an attempt and the certainty of its account. The number of the attempt determines
/// its job.
fn event(n: u64, (attempt_n, knows): (u8, u8)) -> (EventId, Event) {
    let job_n = attempt_n % 4;
    let id = format!("j{job_n}");
    let outcome = if knows == 0 {
        AttemptOutcome::Lost
    } else {
        AttemptOutcome::Completed
    };
    let mut call = attempt(&id, u32::from(attempt_n), outcome);
    call.duplicate = knows == 1;
    let state = if knows == 0 {
        JobState::Retryable
    } else {
        JobState::Completed
    };
    let event = Event {
        job: (attempt_n != 0).then(|| Box::new(job(&id, n, state))),
        attempt: (job_n != 0).then(|| Box::new(call)),
        dead: (knows == 0).then(|| Box::new(dead(&id))),
        dead_end: None,
        dropped: (knows == 1).then(|| Box::new(dropped(&id, &id))),
        window: None,
        chain: None,
        alert: None,
        audit: None,
        review: None,
    };
    (version(n), event)
}

/// The expected rows: the newest version of each job, the most certain account of each attempt.
fn expected(history: &[(EventId, Event)]) -> (Vec<JobRecord>, Vec<AttemptRecord>) {
    let mut jobs = BTreeMap::new();
    let mut attempts: BTreeMap<_, AttemptRecord> = BTreeMap::new();
    for (_, event) in history {
        if let Some(job) = event.job.as_deref() {
            jobs.insert(job.labels.job_id.clone(), job.clone());
        }
        if let Some(new) = event.attempt.as_deref() {
            let knows = |one: &AttemptRecord| match one.outcome {
                AttemptOutcome::Lost => 0,
                _ if one.duplicate => 1,
                _ => 2,
            };
            let known = attempts
                .entry(new.attempt_id)
                .or_insert_with(|| new.clone());
            if knows(new) > knows(known) {
                *known = new.clone();
            }
        }
    }
    (
        jobs.into_values().collect(),
        attempts.into_values().collect(),
    )
}

async fn stored(ledger: &Ledger) -> (Vec<JobRecord>, Vec<AttemptRecord>, usize, usize) {
    let rows = ledger.jobs(&JobFilter::default()).await.unwrap();
    let mut jobs = BTreeMap::new();
    let (mut dead, mut dropped) = (0, 0);
    for row in rows {
        let history = ledger.job(&row.job.labels.job_id).await.unwrap().unwrap();
        dead += history.dead_letters.len();
        dropped += history.dropped.len();
        jobs.insert(history.row.job.labels.job_id.clone(), history.row.job);
    }
    let mut attempts = Vec::new();
    for n in 0..4 {
        let id = super::id(&format!("j{n}"));
        attempts.extend(ledger.attempts(&id).await.unwrap());
    }
    attempts.sort_by_key(|attempt: &AttemptRecord| attempt.attempt_id);
    (jobs.into_values().collect(), attempts, dead, dropped)
}

#[test]
fn rows_do_not_depend_on_the_order_of_deliveries() {
    let history = prop::collection::vec((0..6_u8, 0..3_u8), 1..24);
    let order = prop::collection::vec(any::<Index>(), 0..48);
    let batches = prop::collection::vec(1..12_usize, 1..12);
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(Database::migrated());
    let config = ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&(history, order, batches), |(history, order, batches)| {
            let history: Vec<_> = (1..)
                .zip(history)
                .map(|(n, facts)| event(n, facts))
                .collect();
            runtime.block_on(deliver(&database, &history, &order, &batches))
        })
        .unwrap();
}

async fn deliver(
    database: &Database,
    history: &[(EventId, Event)],
    order: &[Index],
    batches: &[usize],
) -> Result<(), TestCaseError> {
    database.clear().await;
    let ledger = &database.ledger;
    // Some events in any order, some more than once; then all of them, backwards.
    let mut deliveries: Vec<_> = order
        .iter()
        .map(|index| index.get(history).clone())
        .collect();
    deliveries.extend(history.iter().rev().cloned());
    let mut rest = deliveries.as_slice();
    for size in batches.iter().cycle() {
        let (batch, after) = rest.split_at((*size).min(rest.len()));
        ledger.record(batch).await.unwrap();
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let got = stored(ledger).await;
    let (jobs, attempts) = expected(history);
    prop_assert_eq!(&got.0, &jobs);
    prop_assert_eq!(&got.1, &attempts);

    // And once more, in order, all at once.
    ledger.record(history).await.unwrap();
    prop_assert_eq!(stored(ledger).await, got);
    Ok(())
}

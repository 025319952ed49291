//! Chains: the newest version of each stays, and steps sum up their jobs.

use longshore_protocol::{
    chain::{ChainId, ChainKind, ChainState, StepName},
    event::{ChainEvent, ChainRecord, Event},
    state::{AttemptOutcome, JobState},
};
use proptest::{prelude::*, sample::Index, test_runner::TestRunner};
use tokio::runtime::Runtime;

use super::{
    facts::{attempt, event, job, time, version},
    postgres::Database,
};
use crate::{ChainFilter, ChainJobFilter, ChainRow, EventId, Figures, Ledger, Prunable, StepRow};

fn id(text: &str) -> ChainId {
    ChainId::parse(text).unwrap()
}

fn step(text: &str) -> StepName {
    StepName::parse(text).unwrap()
}

/// A chain that began in second `n`.
fn chain(chain: &str, n: u64, state: ChainState) -> ChainRecord {
    let begun = time(n).timestamp_millis();
    ChainRecord {
        chain_id: id(chain),
        name: Some(format!("report {}", n % 2)),
        kind: ChainKind::Chain,
        state,
        steps: 3,
        begun_ms: begun,
        ended_ms: state.is_final().then_some(begun + 2500),
    }
}

fn chain_event(n: u64, chain: ChainRecord) -> (EventId, Event) {
    let event = Event {
        chain: Some(Box::new(ChainEvent {
            record: chain,
            traceparent: None,
        })),
        ..Event::default()
    };
    (version(n), event)
}

/// Event `n` with a job of chain `ch` in `state` and its attempt.
fn job_event(n: u32, step: Option<&str>, state: JobState) -> (EventId, Event) {
    let name = step.map_or_else(|| "child".to_owned(), |step| format!("ch/{step}"));
    let mut event = event(job(&name, n.into(), state));
    let outcome = match state {
        JobState::Completed => AttemptOutcome::Completed,
        _ => AttemptOutcome::Lost,
    };
    event.attempt = Some(Box::new(attempt(&name, n, outcome)));
    let labels = event.job.as_mut().map(|job| &mut job.labels);
    let others = event
        .attempt
        .as_mut()
        .and_then(|attempt| attempt.labels.as_mut());
    for labels in [labels, others].into_iter().flatten() {
        labels.step = step.map(str::to_owned);
    }
    (version(n.into()), event)
}

#[tokio::test]
async fn old_chains_are_deleted_and_running_ones_stay() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let events = [
        chain_event(1, chain("ended", 1, ChainState::Completed)),
        chain_event(2, chain("runs", 1, ChainState::Running)),
        chain_event(3, chain("later", 100, ChainState::Failed)),
    ];
    ledger.record(&events).await.unwrap();
    let deleted = ledger.prune(Prunable::Chains, time(50), 10).await.unwrap();
    assert_eq!(deleted, 1);
    for (name, stays) in [("ended", false), ("runs", true), ("later", true)] {
        let found = ledger.chain(&id(name)).await.unwrap();
        assert_eq!(found.is_some(), stays, "{name}");
    }
}

#[tokio::test]
async fn a_chain_and_its_steps_sum_up_their_attempts() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let record = chain("ch", 1, ChainState::Failed);
    let batch = [
        chain_event(1, record.clone()),
        job_event(2, Some("first"), JobState::Completed),
        job_event(3, Some("each/0"), JobState::Completed),
        job_event(4, Some("each/10"), JobState::Discarded),
        job_event(5, Some("each/2"), JobState::Cancelled),
        job_event(6, None, JobState::Completed),
    ];
    ledger.record(&batch).await.unwrap();

    let figures = |attempts: u64, known: u64| Figures {
        attempts,
        input_tokens: attempts,
        output_tokens: attempts * 5,
        cost_usd: format!("0.{known:06}").parse().unwrap(),
        unknown_cost_attempts: attempts - known,
    };
    let row = ledger.chain(&id("ch")).await.unwrap().unwrap();
    let expected = ChainRow {
        chain: record,
        figures: figures(5, 3),
    };
    assert_eq!(row, expected);
    assert_eq!(ledger.chain(&id("none")).await.unwrap(), None);

    let steps = ledger.chain_steps("ch").await.unwrap();
    let step_row = |step, jobs, (completed, failed, cancelled), n: u64, last: u64, known| StepRow {
        step,
        jobs,
        completed,
        failed,
        cancelled,
        started_at: Some(time(n + 1)),
        finished_at: Some(time(last + 2)),
        figures: figures(jobs, known),
    };
    let expected = [
        step_row(Some(step("first")), 1, (1, 0, 0), 2, 2, 1),
        step_row(Some(step("each")), 3, (1, 1, 1), 3, 5, 1),
        step_row(None, 1, (1, 0, 0), 6, 6, 1),
    ];
    assert_eq!(steps, expected);
    let costs = ledger.chain_costs("ch").await.unwrap();
    assert_eq!(costs.steps, expected[..2]);
    assert_eq!(costs.total_tasks, 5);
}

#[tokio::test]
async fn an_attempt_counts_for_its_step_before_its_job_is_recorded() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let mut event = job_event(1, Some("first"), JobState::Completed);
    event.1.job = None;
    ledger.record(&[event]).await.unwrap();
    let [row] = ledger.chain_steps("ch").await.unwrap().try_into().unwrap();
    assert_eq!((row.step, row.jobs), (Some(step("first")), 0));
    assert_eq!(row.figures.attempts, 1);
}

#[tokio::test]
async fn the_jobs_of_a_chain_are_listed_by_page() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let batch = [
        job_event(1, Some("a"), JobState::Completed),
        job_event(2, Some("each/0"), JobState::Completed),
        job_event(3, Some("each/1"), JobState::Discarded),
        job_event(4, Some("each/2"), JobState::Discarded),
    ];
    ledger.record(&batch).await.unwrap();
    let find = async |filter: ChainJobFilter| {
        let found = ledger.chain_jobs("ch", &filter).await.unwrap();
        found
            .into_iter()
            .map(|row| row.job.labels.job_id)
            .collect::<Vec<_>>()
    };
    let all = ChainJobFilter::default;
    assert_eq!(
        find(all()).await,
        ["ch/a", "ch/each/0", "ch/each/1", "ch/each/2"].map(super::id)
    );
    let failed = ChainJobFilter {
        step: Some(step("each")),
        state: Some(JobState::Discarded),
        limit: Some(1),
        ..all()
    };
    assert_eq!(find(failed.clone()).await, [super::id("ch/each/1")]);
    let next = ChainJobFilter {
        after: Some(super::id("ch/each/1")),
        ..failed
    };
    assert_eq!(find(next.clone()).await, [super::id("ch/each/2")]);
    let end = ChainJobFilter {
        after: Some(super::id("ch/each/2")),
        ..next
    };
    assert_eq!(find(end).await, []);
}

#[tokio::test]
async fn chains_are_listed_newest_first_by_page() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let batch = [
        chain_event(1, chain("a", 1, ChainState::Completed)),
        chain_event(2, chain("b", 2, ChainState::Failed)),
        chain_event(3, chain("d", 3, ChainState::Running)),
        chain_event(4, chain("c", 3, ChainState::Completed)),
    ];
    ledger.record(&batch).await.unwrap();
    let find = async |filter: ChainFilter| {
        let found = ledger.chains(&filter).await.unwrap();
        found
            .into_iter()
            .map(|row| row.chain.chain_id.to_string())
            .collect::<String>()
    };
    let all = ChainFilter::default;
    assert_eq!(find(all()).await, "dcba");
    for (state, fitting) in [
        (ChainState::Completed, "ca"),
        (ChainState::Failed, "b"),
        (ChainState::Open, ""),
    ] {
        let state = Some(state);
        assert_eq!(find(ChainFilter { state, ..all() }).await, fitting);
    }
    for (kind, fitting) in [(ChainKind::Chain, "dcba"), (ChainKind::Batch, "")] {
        let kind = Some(kind);
        assert_eq!(find(ChainFilter { kind, ..all() }).await, fitting);
    }
    let name = Some("report 0".to_owned());
    assert_eq!(find(ChainFilter { name, ..all() }).await, "b");
    let page = |begun: u64, chain: &str| ChainFilter {
        before: Some((
            chrono::DateTime::from_timestamp_millis(time(begun).timestamp_millis()).unwrap(),
            id(chain),
        )),
        limit: Some(2),
        ..all()
    };
    assert_eq!(find(page(3, "d")).await, "cb");
    assert_eq!(find(page(2, "b")).await, "a");
}

#[test]
fn rows_do_not_depend_on_the_order_of_deliveries() {
    let history = prop::collection::vec((0..3_usize, 0..6_usize), 1..16);
    let order = prop::collection::vec(any::<Index>(), 0..24);
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(Database::migrated());
    let config = ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&(history, order), |(history, order)| {
            let history: Vec<_> = (1..)
                .zip(&history)
                .map(|(n, (which, state))| {
                    let name = ["a", "b", "c"][*which];
                    chain_event(n, chain(name, n, ChainState::ALL[*state]))
                })
                .collect();
            let got = runtime.block_on(deliver(&database, &history, &order));
            let newest = |name: &str| {
                let event = history.iter().rev();
                let mut chains = event.filter_map(|(_, event)| Some(event.chain.clone()?.record));
                chains.find(|chain| chain.chain_id == id(name))
            };
            let mut expected: Vec<_> = ["a", "b", "c"].into_iter().filter_map(newest).collect();
            expected.sort_by_key(|chain| std::cmp::Reverse(chain.begun_ms));
            prop_assert_eq!(got, expected);
            Ok(())
        })
        .unwrap();
}

/// Records some events in any order one by one, then all at once.
async fn deliver(
    database: &Database,
    history: &[(EventId, Event)],
    order: &[Index],
) -> Vec<ChainRecord> {
    database.clear().await;
    let ledger: &Ledger = &database.ledger;
    for index in order {
        let one = index.get(history).clone();
        ledger.record(&[one]).await.unwrap();
    }
    ledger.record(history).await.unwrap();
    let rows = ledger.chains(&ChainFilter::default()).await.unwrap();
    rows.into_iter().map(|row| row.chain).collect()
}

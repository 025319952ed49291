//! The scripts of recurring jobs.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use longshore_broker::{CronFence, CronRecord, LeaderToken, NextTick};
use longshore_policy::cron::{
    CronDefinition, CronDefinitionText, CronJob, RunReason, Source, TickPlan,
};
use longshore_protocol::id::CronName;

use super::fixture::{Fixture, past};

const LONG: Duration = Duration::from_mins(10);

fn name() -> CronName {
    CronName::parse("poll").unwrap()
}

fn entry(prompt: &str) -> CronJob {
    let job = serde_json::json!({ "prompt": prompt });
    let written = CronDefinitionText {
        every: Some("1s".to_owned()),
        job: job.as_object().unwrap().clone(),
        ..CronDefinitionText::default()
    };
    CronJob {
        source: Source::Command,
        paused: false,
        definition: CronDefinition::read(&written).unwrap(),
    }
}

/// A leader, and a recurring job whose next tick is `past(0)`.
async fn recurring(fixture: &Fixture) -> (LeaderToken, CronRecord) {
    let leader = fixture
        .broker
        .leader()
        .acquire("a", LONG)
        .await
        .unwrap()
        .unwrap();
    let put = fixture
        .broker
        .cron()
        .put(
            None,
            &name(),
            None,
            Some(&entry("x")),
            NextTick::At(past(0)),
        )
        .await
        .unwrap();
    assert_eq!(put, CronFence::Held);
    (leader, record(fixture).await.unwrap())
}

async fn record(fixture: &Fixture) -> Option<CronRecord> {
    fixture.broker.cron().record(&name()).await.unwrap()
}

/// A step that runs the tick `s` seconds after the first.
fn run(s: i64) -> TickPlan {
    let tick = past(0) + TimeDelta::seconds(s);
    TickPlan {
        run: Some(tick),
        skipped: 0,
        next: Some(tick + TimeDelta::seconds(1)),
    }
}

async fn tick(
    fixture: &Fixture,
    leader: LeaderToken,
    record: &CronRecord,
    due: DateTime<Utc>,
    step: &TickPlan,
) -> CronFence {
    let definition = record.entry().unwrap().definition;
    let message = step
        .run
        .map(|tick| definition.message(&record.name, RunReason::Tick(tick)));
    let queue = &definition.queue;
    fixture
        .broker
        .cron()
        .tick(leader, record, due, step, queue, message.as_deref())
        .await
        .unwrap()
}

/// How many ticks ran and were skipped, and the entries of the queue.
async fn figures(fixture: &Fixture) -> (u64, u64, u64) {
    let standing = fixture.broker.cron().list().await.unwrap();
    let queued = fixture.ask(&["XLEN", &fixture.stream()]).await;
    standing
        .first()
        .map_or((0, 0, queued), |one| (one.ran, one.skipped, queued))
}

#[tokio::test]
async fn a_tick_is_enqueued_once_and_the_next_follows() {
    let fixture = Fixture::new().await;
    let (leader, record) = recurring(&fixture).await;
    assert_eq!(
        tick(&fixture, leader, &record, past(0), &run(0)).await,
        CronFence::Held
    );
    // Again, as after a lost reply.
    assert_eq!(
        tick(&fixture, leader, &record, past(0), &run(0)).await,
        CronFence::Changed
    );
    assert_eq!(figures(&fixture).await, (1, 0, 1));
    let standing = &fixture.broker.cron().list().await.unwrap()[0];
    assert_eq!(standing.last, Some(past(0)));
    assert_eq!(standing.next, Some(past(1000)));
    let delivered = fixture.read_one("w").await;
    let (field, job) = &delivered.message.fields[0];
    assert_eq!(field, b"job");
    let job: serde_json::Value = serde_json::from_slice(job).unwrap();
    assert_eq!(job["id"], "cron:poll:2023-11-14T22:13:20Z");
    assert_eq!(job["metadata"]["cron"]["tick"], "2023-11-14T22:13:20Z");
}

#[tokio::test]
async fn a_replaced_leader_enqueues_and_writes_nothing() {
    let fixture = Fixture::new().await;
    let (old, record) = recurring(&fixture).await;
    fixture.broker.leader().resign("a").await.unwrap();
    assert_eq!(
        tick(&fixture, old, &record, past(0), &run(0)).await,
        CronFence::Held,
        "nobody else leads yet"
    );
    let new = fixture
        .broker
        .leader()
        .acquire("b", LONG)
        .await
        .unwrap()
        .unwrap();
    assert!(new > old);
    assert_eq!(
        tick(&fixture, old, &record, past(1000), &run(1)).await,
        CronFence::Deposed
    );
    let put = fixture
        .broker
        .cron()
        .put(Some(old), &name(), Some(&record), None, NextTick::Never)
        .await
        .unwrap();
    assert_eq!(put, CronFence::Deposed);
    assert_eq!(figures(&fixture).await, (1, 0, 1));
    assert_eq!(
        tick(&fixture, new, &record, past(1000), &run(1)).await,
        CronFence::Held
    );
    assert_eq!(figures(&fixture).await, (2, 0, 2));
}

#[tokio::test]
async fn skipped_ticks_are_counted_and_not_enqueued() {
    let fixture = Fixture::new().await;
    let (leader, record) = recurring(&fixture).await;
    let skip = TickPlan {
        run: None,
        skipped: 8,
        next: Some(past(8000)),
    };
    assert_eq!(
        tick(&fixture, leader, &record, past(0), &skip).await,
        CronFence::Held
    );
    assert_eq!(figures(&fixture).await, (0, 8, 0));
    let last = TickPlan {
        skipped: 3,
        next: None,
        ..run(11)
    };
    assert_eq!(
        tick(&fixture, leader, &record, past(8000), &last).await,
        CronFence::Held
    );
    assert_eq!(figures(&fixture).await, (1, 11, 1));
    let (_, next) = fixture.broker.cron().next_ticks(10).await.unwrap();
    assert_eq!(next, [], "none comes any more");
}

#[tokio::test]
async fn a_changed_recurring_job_is_not_enqueued_in_its_old_form() {
    let fixture = Fixture::new().await;
    let (leader, before) = recurring(&fixture).await;
    let resting = CronJob {
        paused: true,
        ..entry("x")
    };
    let put = |before: Option<CronRecord>, after: Option<CronJob>, next| {
        let broker = fixture.broker.clone();
        async move {
            broker
                .cron()
                .put(None, &name(), before.as_ref(), after.as_ref(), next)
                .await
                .unwrap()
        }
    };
    assert_eq!(
        put(Some(before.clone()), Some(resting), NextTick::Never).await,
        CronFence::Held
    );
    assert_eq!(
        tick(&fixture, leader, &before, past(0), &run(0)).await,
        CronFence::Changed
    );
    assert_eq!(
        put(Some(before), Some(entry("y")), NextTick::Kept).await,
        CronFence::Changed,
        "who changes it has seen it"
    );
    assert_eq!(
        put(None, Some(entry("y")), NextTick::Kept).await,
        CronFence::Changed,
        "the name is taken"
    );
    let resting = record(&fixture).await;
    assert_eq!(
        put(resting, Some(entry("y")), NextTick::At(past(5000))).await,
        CronFence::Held
    );
    let (_, next) = fixture.broker.cron().next_ticks(10).await.unwrap();
    assert_eq!(next, [(name(), past(5000))]);
    let now = record(&fixture).await;
    assert_eq!(put(now, None, NextTick::Never).await, CronFence::Held);
    for key in ["cron", "cron:state"] {
        assert!(fixture.hash(key).await.is_empty(), "{key}");
    }
    assert_eq!(figures(&fixture).await, (0, 0, 0));
}

#[tokio::test]
async fn a_tick_that_cannot_be_enqueued_is_not_lost() {
    let fixture = Fixture::new().await;
    let (leader, record) = recurring(&fixture).await;
    let () = fixture.ask(&["SET", &fixture.stream(), "no stream"]).await;
    let definition = record.entry().unwrap().definition;
    let refused = fixture
        .broker
        .cron()
        .tick(
            leader,
            &record,
            past(0),
            &run(0),
            &definition.queue,
            Some("{}"),
        )
        .await;
    assert!(refused.is_err(), "{refused:?}");
    let () = fixture.ask(&["DEL", &fixture.stream()]).await;
    assert_eq!(
        tick(&fixture, leader, &record, past(0), &run(0)).await,
        CronFence::Held
    );
    assert_eq!(figures(&fixture).await, (1, 0, 1));
}

/// One tick, with the scripts forgotten before each step.
pub(super) async fn on_a_server_that_forgets(fixture: &Fixture) {
    let leader = fixture
        .broker
        .leader()
        .acquire("a", LONG)
        .await
        .unwrap()
        .unwrap();
    fixture.ask::<()>(&["SCRIPT", "FLUSH"]).await;
    let entry = entry("x");
    let (name, next) = (name(), NextTick::At(past(0)));
    let put = fixture
        .broker
        .cron()
        .put(None, &name, None, Some(&entry), next);
    assert_eq!(put.await.unwrap(), CronFence::Held);
    let record = record(fixture).await.unwrap();
    fixture.ask::<()>(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(
        tick(fixture, leader, &record, past(0), &run(0)).await,
        CronFence::Held
    );
}

//! The limits of a queue hold over all workers, and concern no other queue.

use std::{collections::BTreeSet, time::Duration};

use anyhow::ensure;
use longshore_protocol::{
    id::{JobId, QueueName},
    outcome::Outcome,
    state::AttemptOutcome,
};
use longshore_tests::stack::{Options, Stack, eventually, expect_success};
use redis::AsyncCommands as _;
use serde_json::Value;

use crate::simulated::{Model, SimulatedProvider, config_yaml};

/// A stack whose workers read two queues.
async fn stack() -> Stack {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    stack.set_env("LONGSHORE_QUEUES", "default,bulk");
    stack.set_env("LONGSHORE_CONCURRENCY", "20");
    stack
}

/// A stack where jobs of queue `bulk` go to a provider of their own, with these limits.
async fn stack_with_limits(limits: &str) -> Stack {
    let stack = stack().await;
    let providers = [
        SimulatedProvider::unlimited("slow", Model::Cheap),
        SimulatedProvider::unlimited("fast", Model::Dear),
    ];
    let yaml = config_yaml(
        &stack,
        &providers,
        &format!("queue_limits: {{bulk: {limits}}}"),
    );
    stack.config_yaml(&yaml).unwrap();
    stack
}

fn bulk() -> QueueName {
    QueueName::parse("bulk").unwrap()
}

async fn enqueue(stack: &Stack, queue: &QueueName, job: &str, count: usize) -> Vec<JobId> {
    let jobs = vec![job.to_owned(); count];
    let entry_ids = stack.broker.queues().enqueue_all(queue, &jobs).await;
    entry_ids.unwrap().iter().map(JobId::from_entry).collect()
}

/// A job whose call is held by the provider until it is released.
const HELD: &str = r#"{"prompt":"[[hold]] x","keep_result":true}"#;
const HELD_AT_SLOW: &str =
    r#"{"prompt":"[[hold]] x","keep_result":true,"platform":"slow","fallback":false}"#;
const AT_FAST: &str = r#"{"prompt":"x","keep_result":true,"platform":"fast","fallback":false}"#;
const AT_SLOW: &str = r#"{"prompt":"x","keep_result":true,"platform":"slow","fallback":false}"#;

async fn wait_for_lane(stack: &Stack, meter: &str, count: u64) {
    eventually("jobs wait for the queue", || async {
        let lanes = stack.broker.lanes().sizes().await?;
        let lane = format!("quota:{meter}");
        let held = lanes.iter().find(|(name, _)| *name == lane);
        ensure!(held.map_or(0, |(_, held)| *held) == count, "{lanes:?}");
        Ok(())
    })
    .await
    .unwrap();
}

fn peak(stack: &Stack, provider: &str) -> u64 {
    let stats = stack.simulator.stats();
    stats.by_provider.get(provider).unwrap().peak_in_flight
}

async fn json(stack: &Stack, words: &[&str]) -> Value {
    let words = [words, &["--format", "json"]].concat();
    serde_json::from_str(&expect_success(stack.longshore(&words).await.unwrap())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_holds_up_no_other_and_a_killed_workers_slots_come_back() {
    let stack = stack_with_limits("{max_concurrent: 5}").await;
    let _scheduler = stack.scheduler().unwrap();
    let mut doomed = stack.worker().unwrap();
    let of_bulk = enqueue(&stack, &bulk(), HELD_AT_SLOW, 60).await;
    stack.wait_for_calls(5).await.unwrap();
    wait_for_lane(&stack, "queue_slots:bulk", 55).await;
    let _others = [stack.worker().unwrap(), stack.worker().unwrap()];

    let of_default = enqueue(&stack, &QueueName::default(), AT_FAST, 100).await;
    stack.successes(&of_default).await.unwrap();
    assert_eq!(stack.simulator.stats().in_flight, 5, "the calls of bulk");

    doomed.kill().unwrap();
    eventually("other workers have the slots", || async {
        let stats = stack.simulator.stats();
        ensure!(stats.abandoned == 5 && stats.in_flight == 5, "{stats:?}");
        Ok(())
    })
    .await
    .unwrap();
    stack.simulator.release();
    stack.successes(&of_bulk).await.unwrap();
    assert_eq!(peak(&stack, "slow"), 5);
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.count(AttemptOutcome::Lost), 5);
    let slots = stack.broker.keys().slots("queue_slots:bulk");
    let left: u64 = stack.connection().await.unwrap().hlen(slots).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_of_a_queue_holds_over_all_workers() {
    let stack = stack_with_limits("{requests_per_minute: 240}").await;
    let _scheduler = stack.scheduler().unwrap();
    let mut doomed = stack.worker().unwrap();
    let _other = stack.worker().unwrap();
    let of_bulk = enqueue(&stack, &bulk(), AT_SLOW, 40).await;
    let of_default = enqueue(&stack, &QueueName::default(), AT_FAST, 100).await;
    stack.successes(&of_default).await.unwrap();
    let calls = stack.simulator.calls("slow").len();
    assert!(calls < 40, "{calls}: the other queue waits for nothing");
    eventually("some calls are made", || async {
        let calls = stack.simulator.calls("slow").len();
        ensure!(calls >= 8, "{calls}");
        Ok(())
    })
    .await
    .unwrap();
    doomed.kill().unwrap();
    stack.successes(&of_bulk).await.unwrap();
    stack.books().await.unwrap().balance();
    let times: Vec<u64> = stack
        .simulator
        .calls("slow")
        .iter()
        .map(|call| call.at_us)
        .collect();
    // Two may go at once, and a busy machine may send those of one second in the next one.
    let most = |span: Duration| 4 * (span.as_secs() + 2) + 2;
    for (number, first) in times.iter().enumerate() {
        for (last, count) in times.iter().skip(number).zip(0..) {
            let span = Duration::from_micros(last - first);
            assert!(count <= most(span), "{count} calls in {span:?}");
        }
    }
    let whole = Duration::from_micros(times.last().unwrap() - times.first().unwrap());
    assert!(whole >= Duration::from_secs(8), "{whole:?}");
}

/// The platforms that answered.
fn platforms(outcomes: &[Outcome]) -> BTreeSet<&str> {
    outcomes
        .iter()
        .filter_map(|one| one.platform.as_deref())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_sends_no_job_to_another_platform_and_a_pushed_limit_applies() {
    let stack = stack().await;
    let _scheduler = stack.scheduler().unwrap();
    let push = async |text: &str| stack.broker.fleet_config().push(text).await.unwrap();
    push("queue_limits: {bulk: {max_concurrent: 2, requests_per_minute: 600000}}\n").await;
    let _workers = [stack.worker().unwrap(), stack.worker().unwrap()];
    let ids = enqueue(&stack, &bulk(), HELD, 14).await;
    wait_for_lane(&stack, "queue_slots:bulk", 12).await;
    assert_eq!(stack.simulator.stats().in_flight, 2);

    let lane = stack.broker.keys().quota_lane("queue_slots:bulk");
    let last: String = stack
        .connection()
        .await
        .unwrap()
        .lindex(lane, -1)
        .await
        .unwrap();
    let why = expect_success(stack.longshore(&["jobs", "why", &last]).await.unwrap());
    let said = "waiting for capacity under queue bulk's calls at once, behind 11 jobs";
    assert!(why.contains(said), "{why}");
    let quota = json(&stack, &["quota"]).await;
    let slots = &quota["queues"][1];
    assert_eq!(slots["queue"], "bulk", "{quota:#}");
    assert_eq!((&slots["used"], &slots["limit"]), (&2.into(), &2.into()));
    assert_eq!(slots["waiting"], 12, "{quota:#}");
    let table = expect_success(stack.longshore(&["quota"]).await.unwrap());
    assert!(
        table.contains("12 jobs wait for queue bulk's calls at once"),
        "{table}"
    );
    let queues = expect_success(stack.longshore(&["queues"]).await.unwrap());
    assert!(queues.contains("queue bulk's calls at once"), "{queues}");

    push("queue_limits: {bulk: {max_concurrent: 6}}\n").await;
    stack.wait_for_calls(6).await.unwrap();
    wait_for_lane(&stack, "queue_slots:bulk", 8).await;
    assert_eq!(stack.simulator.stats().peak_in_flight, 6);
    push("grace: 1s\n").await;
    stack.wait_for_calls(14).await.unwrap();
    wait_for_lane(&stack, "queue_slots:bulk", 0).await;
    eventually("the meters are deleted", || async {
        let mut connection = stack.connection().await?;
        let keys = stack.broker.keys();
        let noted: u64 = connection.scard(keys.queue_meters()).await?;
        let meters = ["queue_slots:bulk", "queue_rpm:bulk"].map(|meter| keys.quota(meter));
        let left: u64 = connection.exists(&meters).await?;
        ensure!((noted, left) == (0, 0), "{noted} {left}");
        Ok(())
    })
    .await
    .unwrap();
    stack.simulator.release();
    let outcomes = stack.successes(&ids).await.unwrap();
    assert_eq!(platforms(&outcomes).len(), 1, "the first of the route");
    assert!(outcomes.iter().all(|outcome| outcome.attempts == 1));
    stack.books().await.unwrap().balance();
}

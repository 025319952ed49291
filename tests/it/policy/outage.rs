//! A provider outage under load.

use std::time::{Duration, Instant};

use longshore_protocol::id::{JobId, QueueName};
use longshore_simulator::{Fate, Faults};
use longshore_tests::stack::{Options, Stack};

use super::{
    Model, SimulatedProvider, beside_few, config_yaml, print_figures, provider_stats, size,
};

/// Jobs enqueued per second, in ten parts.
const LOAD: u64 = 100;
const TICK: Duration = Duration::from_millis(100);
/// The time that traffic takes to move to another provider.
const MOVED: Duration = Duration::from_secs(2);
const SECOND_US: u64 = 1_000_000;

/// Enqueues jobs at the pace of the load until the condition holds.
async fn load_until(
    stack: &Stack,
    jobs: &mut Vec<JobId>,
    what: &str,
    mut condition: impl FnMut() -> bool,
) {
    let timeout = Instant::now() + Duration::from_mins(2);
    let mut ticks = tokio::time::interval(TICK);
    while !condition() {
        assert!(Instant::now() < timeout, "{what}: not within two minutes");
        ticks.tick().await;
        let some: Vec<String> = (0..LOAD / 10)
            .map(|at| format!(r#"{{"prompt":"job {} {at}"}}"#, jobs.len()))
            .collect();
        let counts = stack
            .broker
            .queues()
            .enqueue_all(&QueueName::default(), &some)
            .await;
        jobs.extend(counts.unwrap().iter().map(JobId::from_entry));
    }
}

/// Calls that a provider served in a time span, in microseconds since 1970.
fn served(stack: &Stack, provider: &str, from: u64, to: u64) -> u64 {
    let calls = stack.simulator.calls(provider);
    let in_time = |call: &&longshore_simulator::Arrival| {
        call.fate == Fate::Served && (from..to).contains(&call.at_us)
    };
    calls.iter().filter(in_time).count() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_leaves_a_failing_provider_and_returns_and_no_job_fails() {
    let _machine = beside_few().await;
    let outage = Duration::from_secs(size(8, 30));
    let stack = Stack::start(Options {
        latency: Duration::from_millis(50),
        ..Options::default()
    })
    .await
    .unwrap();
    let providers = [
        SimulatedProvider::unlimited("a", Model::Cheap),
        SimulatedProvider::unlimited("b", Model::Dear),
    ];
    stack
        .config_yaml(&config_yaml(&stack, &providers, ""))
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let _workers = [stack.worker().unwrap(), stack.worker().unwrap()];
    let mut jobs = Vec::new();
    load_until(&stack, &mut jobs, "a answers", || {
        provider_stats(&stack, "a").billed >= 3 * LOAD
    })
    .await;
    assert_eq!(
        provider_stats(&stack, "b").requests,
        0,
        "the cheaper one is called first"
    );

    let began = stack.simulator.now_us();
    let down = Faults {
        rate_503: 1.0,
        for_ms: Some(u64::try_from(outage.as_millis()).unwrap()),
        ..Faults::default()
    };
    stack.simulator.set_faults(Some("a"), down).unwrap();
    let over = began + u64::try_from(outage.as_micros()).unwrap();
    load_until(&stack, &mut jobs, "the outage is over", || {
        stack.simulator.now_us() >= over
    })
    .await;
    let moved = began + u64::try_from(MOVED.as_micros()).unwrap();
    let due = LOAD * (over - moved) / SECOND_US;
    let by_b = served(&stack, "b", moved, over);
    load_until(&stack, &mut jobs, "a answers again", || {
        let now = stack.simulator.now_us();
        served(&stack, "a", over.max(now - SECOND_US), now) * 10 >= LOAD * 9
    })
    .await;
    let back = Duration::from_micros(stack.simulator.now_us() - over);

    let outcomes = stack.outcomes(&jobs).await.unwrap();
    let (a, b) = (provider_stats(&stack, "a"), provider_stats(&stack, "b"));
    let (calls, asked) = (a.requests + b.requests, jobs.len() as u64);
    let figures = format!(
        "{asked} jobs, {calls} calls; from {MOVED:?} into the outage on b served {by_b} of {due}; a has \
         90 % of the load again {back:?} after the outage, which it refused {} calls in",
        a.failed
    );
    print_figures(&figures);
    let failed = outcomes.iter().find(|outcome| !outcome.success);
    assert!(failed.is_none(), "a job failed: {failed:?}");
    assert!(by_b * 100 >= due * 95, "it did not move: {figures}");
    assert!(calls * 10 < asked * 12, "too many calls: {figures}");
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_leaves_a_platform_that_asks_for_a_long_wait() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let providers = [
        SimulatedProvider::unlimited("a", Model::Cheap),
        SimulatedProvider::unlimited("b", Model::Dear),
    ];
    let yaml = config_yaml(&stack, &providers, "");
    stack.config_yaml(&yaml).unwrap();
    let _worker = stack.worker().unwrap();
    for status in [503, 429] {
        let prompt = format!("[[fail_first=1:{status}]] [[retry_after=3600]] hello");
        let id = stack.xadd(&[("prompt", &prompt)]).await.unwrap();
        let outcome = stack.outcome(&id).await.unwrap();
        assert!(outcome.success, "{outcome:?}");
        assert_eq!(outcome.platform.as_deref(), Some("b"), "{outcome:?}");
        assert_eq!(outcome.attempts, 2, "{outcome:?}");
    }
}

//! After rate limit errors fewer calls are in flight, and later as many as before.

use std::time::{Duration, Instant};

use anyhow::ensure;
use longshore_simulator::Faults;
use longshore_tests::stack::{Options, Stack, eventually};

use super::{
    JobCounts, Model, SimulatedProvider, alone, config_yaml, print_figures, provider_stats,
};

const SLOTS: u64 = 40;
/// The most that remain after rate limit errors: half, and what was regained during the measurement.
const SHRUNK: u64 = 30;
/// How long the provider rejects half of its calls.
const REJECTS: Duration = Duration::from_millis(1500);
const MEASURED: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn concurrency_shrinks_on_refusals_and_grows_back() {
    let _machine = alone().await;
    let stack = Stack::start(Options {
        latency: Duration::from_millis(500),
        ..Options::default()
    })
    .await
    .unwrap();
    let limits = format!("{{max_concurrent: {SLOTS}}}");
    let provider = SimulatedProvider::limited("a", Model::Cheap, &limits);
    // No job exhausts its retries while its only provider rejects calls.
    let retry = "retry: {max_retries: 50, base_delay: 100ms, max_delay: 200ms}";
    stack
        .config_yaml(&config_yaml(&stack, &[provider], retry))
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let _workers = [stack.worker().unwrap(), stack.worker().unwrap()];
    let jobs: Vec<String> = (0..6_000)
        .map(|at| format!(r#"{{"prompt":"job {at}"}}"#))
        .collect();
    stack.enqueue(&jobs).await.unwrap();
    let all_used = || async {
        let calls = provider_stats(&stack, "a").in_flight;
        ensure!(calls == SLOTS, "{calls} calls for {SLOTS} slots");
        Ok(())
    };
    // Workers that are busy with parking begin few calls, and without calls there is nothing to reject.
    eventually("the backlog is parked", || async {
        let counts = JobCounts::read(&stack).await?;
        ensure!(counts.queued <= 2 * SLOTS, "{counts:?}");
        Ok(())
    })
    .await
    .unwrap();
    eventually("every slot is used", all_used).await.unwrap();

    let refusals = Faults {
        rate_429: 0.5,
        retry_after_s: Some(0.2),
        for_ms: Some(u64::try_from(REJECTS.as_millis()).unwrap()),
        ..Faults::default()
    };
    stack.simulator.set_faults(Some("a"), refusals).unwrap();
    // The rejections end after a fixed time, followed by a second of measurement.
    tokio::time::sleep(REJECTS).await;
    let rejected = provider_stats(&stack, "a").failed;
    assert!(rejected > 0, "no call was rejected");
    let (mut most, start) = (0, Instant::now());
    while start.elapsed() < MEASURED {
        most = most.max(provider_stats(&stack, "a").in_flight);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(most <= SHRUNK, "{most} calls at once right after refusals");
    eventually("every slot is used again", all_used)
        .await
        .unwrap();
    print_figures(&format!(
        "{SLOTS} calls at once, {most} in the second after refusals, {SLOTS} again {:?} after them",
        start.elapsed()
    ));
    assert_eq!(provider_stats(&stack, "a").peak_in_flight, SLOTS);
    assert_eq!(stack.broker.dead_letters().count().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_half_of_a_days_requests_is_in_flight_at_once() {
    const DAY: u64 = 20;
    let _machine = alone().await;
    let stack = Stack::start(Options::with_latency(Duration::from_millis(500)))
        .await
        .unwrap();
    let limits = format!("{{requests_per_day: {DAY}}}");
    let provider = SimulatedProvider::limited("a", Model::Cheap, &limits);
    stack
        .config_yaml(&config_yaml(&stack, &[provider], ""))
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let _workers = [stack.worker().unwrap(), stack.worker().unwrap()];
    let jobs: Vec<String> = (0..DAY)
        .map(|at| format!(r#"{{"prompt":"job {at}"}}"#))
        .collect();
    let ids = stack.enqueue(&jobs).await.unwrap();
    stack.successes(&ids).await.unwrap();
    let stats = provider_stats(&stack, "a");
    assert!(stats.peak_in_flight <= DAY / 2, "{}", stats.peak_in_flight);
}

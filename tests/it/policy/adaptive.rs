//! After rate limit errors fewer calls are in flight, and later as many as before.

use std::time::{Duration, Instant};

use anyhow::ensure;
use longshore_simulator::Faults;
use longshore_tests::stack::{Options, Stack, eventually};

use super::{Model, SimulatedProvider, beside_few, config, print_figures, seen};

const PLACES: u64 = 40;
/// The most that remain after rate limit errors: half, and what was regained during the measurement.
const SHRUNK: u64 = 30;
/// How long the provider rejects half of its calls.
const REFUSES: Duration = Duration::from_millis(1500);
const LOOK: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn concurrency_shrinks_on_refusals_and_grows_back() {
    let _machine = beside_few().await;
    let stack = Stack::start(Options {
        latency: Duration::from_millis(500),
        ..Options::default()
    })
    .await
    .unwrap();
    let limits = format!("{{max_concurrent: {PLACES}}}");
    let provider = SimulatedProvider::limited("a", Model::Cheap, &limits);
    // No job exhausts its retries while its only provider rejects calls.
    let retry = "retry: {max_retries: 50, base_delay: 100ms, max_delay: 200ms}";
    stack
        .config_yaml(&config(&stack, &[provider], retry))
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let _workers = [stack.worker().unwrap(), stack.worker().unwrap()];
    let jobs: Vec<String> = (0..6_000)
        .map(|at| format!(r#"{{"prompt":"job {at}"}}"#))
        .collect();
    stack.enqueue(&jobs).await.unwrap();
    let all_taken = || async {
        let calls = seen(&stack, "a").in_flight;
        ensure!(calls == PLACES, "{calls} calls for {PLACES} places");
        Ok(())
    };
    eventually("every place is taken", all_taken).await.unwrap();

    let refusals = Faults {
        rate_429: 0.5,
        retry_after_s: Some(0.2),
        for_ms: Some(u64::try_from(REFUSES.as_millis()).unwrap()),
        ..Faults::default()
    };
    stack.simulator.set_faults(Some("a"), refusals).unwrap();
    // The rejections end after a fixed time, followed by a second of measurement.
    tokio::time::sleep(REFUSES).await;
    let (mut most, start) = (0, Instant::now());
    while start.elapsed() < LOOK {
        most = most.max(seen(&stack, "a").in_flight);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(most <= SHRUNK, "{most} calls at once right after refusals");
    eventually("every place is taken again", all_taken)
        .await
        .unwrap();
    print_figures(&format!(
        "{PLACES} calls at once, {most} in the second after refusals, {PLACES} again {:?} after them",
        start.elapsed()
    ));
    assert_eq!(seen(&stack, "a").peak_in_flight, PLACES);
    assert_eq!(stack.broker.dead_letters().count().await.unwrap(), 0);
}

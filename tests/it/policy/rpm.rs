//! Six hundred requests a minute shared by four workers, with a provider that counts exactly.

use std::time::Duration;

use anyhow::ensure;
use longshore_simulator::{Fate, Limits};
use longshore_tests::stack::{Options, Stack, eventually, within};

use super::{
    JobCounts, Model, SimulatedProvider, beside_few, config_yaml, count_ended, print_figures,
    provider_stats, size,
};

const WORKERS: usize = 4;
const RATE: u32 = 600;

/// The short form measures the first 25 seconds, in which the rate allows 250 calls. Spending the whole
/// minute's 600 calls at once is allowed as succeeded, so only the minimum is asserted.
#[tokio::test(flavor = "multi_thread")]
async fn the_rate_is_used_and_not_overrun() {
    let _machine = beside_few().await;
    let (time, jobs) = size((25, 1_000), (180, 2_400));
    let time = Duration::from_secs(time);
    let stack = Stack::start(Options {
        latency: Duration::from_millis(100),
        ..Options::default()
    })
    .await
    .unwrap();
    let limits = format!("{{requests_per_minute: {RATE}}}");
    let meter = SimulatedProvider::limited("meter", Model::Cheap, &limits);
    stack
        .config_yaml(&config_yaml(&stack, &[meter], ""))
        .unwrap();
    stack.simulator.set_limits(
        Some("meter"),
        Limits {
            requests_per_minute: Some(RATE),
            ..Limits::default()
        },
    );
    let _scheduler = stack.scheduler().unwrap();
    let _workers: Vec<_> = (0..WORKERS).map(|_| stack.worker().unwrap()).collect();
    let bodies: Vec<String> = (0..jobs)
        .map(|at| format!(r#"{{"prompt":"job {at}"}}"#))
        .collect();
    let ids = stack.enqueue(&bodies).await.unwrap();

    let time_us = u64::try_from(time.as_micros()).unwrap();
    within(
        time + Duration::from_mins(1),
        "the time is over",
        || async {
            let first = provider_stats(&stack, "meter").first_us;
            let over = first.is_some_and(|first| stack.simulator.now_us() - first >= time_us);
            ensure!(over, "first call {first:?}");
            Ok(())
        },
    )
    .await
    .unwrap();

    let calls = stack.simulator.calls("meter");
    let end = calls[0].at_us + time_us;
    let served = calls
        .iter()
        .filter(|call| call.fate == Fate::Served && call.at_us < end)
        .count();
    let refused = calls
        .iter()
        .filter(|call| call.fate == Fate::Limited)
        .count();
    let allowed = u64::from(RATE) * time.as_secs() / 60;
    let most = provider_stats(&stack, "meter").most_in_a_minute;
    let figures = format!(
        "{served} calls in {time:?} (the rate allows {allowed}), {refused} of {} refused, at most {most} \
         in a minute",
        calls.len()
    );
    print_figures(&figures);
    assert!(refused * 100 <= calls.len(), "over 1 % refused: {figures}");
    assert!(
        served as u64 * 100 >= allowed * 97,
        "under 97 % used: {figures}"
    );
    let (ended, succeeded) = count_ended(&stack, &ids).await.unwrap();
    assert_eq!(ended, succeeded, "every job that ended was answered");
    let counts = JobCounts::read(&stack).await.unwrap();
    assert_eq!(counts.dead, 0, "{counts:?}");
}

/// An attempt is journaled, with its reservation, before it waits for its turn.
#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_wait_for_their_turn_cost_nothing_if_the_worker_stops() {
    let stack = Stack::start(Options {
        latency: Duration::from_secs(5),
        ..Options::default()
    })
    .await
    .unwrap();
    let limits = "{requests_per_minute: 60, requests_per_day: 1000}";
    let meter = SimulatedProvider::limited("meter", Model::Cheap, limits);
    stack
        .config_yaml(&config_yaml(&stack, &[meter], ""))
        .unwrap();
    let worker = stack.worker().unwrap();
    let bodies: Vec<String> = (0..200)
        .map(|at| format!(r#"{{"prompt":"job {at}"}}"#))
        .collect();
    stack.enqueue(&bodies).await.unwrap();
    let prefix = stack.broker.keys().prefix();
    eventually("an attempt waits for its turn", || async {
        let journaled: u64 = redis::cmd("HLEN")
            .arg(stack.broker.keys().inflight())
            .query_async(&mut stack.connection().await?)
            .await?;
        let called = provider_stats(&stack, "meter").requests;
        ensure!(called > 0 && journaled > called, "{journaled} of {called}");
        Ok(())
    })
    .await
    .unwrap();
    worker.shut_down().await.unwrap();
    let called = provider_stats(&stack, "meter").requests;
    let (used, held): (u64, u64) = redis::cmd("HMGET")
        .arg(format!("{prefix}:quota:rpd:meter"))
        .arg(&["used", "held"])
        .query_async(&mut stack.connection().await.unwrap())
        .await
        .unwrap();
    assert_eq!((used, held), (called, 0), "only what was called is counted");
}

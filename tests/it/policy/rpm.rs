//! Six hundred requests a minute shared by four workers, with a provider that counts exactly.

use std::time::Duration;

use anyhow::ensure;
use longshore_simulator::{Fate, Limits};
use longshore_tests::stack::{Options, Stack, within};

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

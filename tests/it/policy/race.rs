//! Eight workers race for a quota of a hundred requests and a hard budget of a dollar: exactly a hundred
//! calls reach the provider, and at most a dollar is billed.

use std::time::Duration;

use anyhow::ensure;
use longshore_protocol::{clock::local_time, money::Usd};
use longshore_tests::stack::{Options, Stack, eventually};

use super::{JobCounts, Model, SimulatedProvider, config_yaml, count_ended, provider_stats};

const WORKERS: usize = 8;
const JOBS: usize = 2_000;
const CALLS: u64 = 100;
/// How long no call may follow the last one that was allowed.
const SILENCE: Duration = Duration::from_secs(3);

/// How often each race runs: `LONGSHORE_TEST_RUNS`, or twice.
fn runs() -> usize {
    let asked = std::env::vars().find(|(name, _)| name == "LONGSHORE_TEST_RUNS");
    asked.map_or(2, |(_, runs)| runs.parse().unwrap())
}

/// A quota of requests per day, whose window does not end while the test runs.
fn quota(requests: u64) -> String {
    let away = local_time() + chrono::TimeDelta::hours(12);
    format!(
        "{{requests_per_day: {requests}, time_zone: UTC, reset_at: \"{}\"}}",
        away.format("%H:%M")
    )
}

/// Of a month, so that it does not reset while the test runs.
const BUDGET: &str = "budgets: [{name: all, scope: overall, limit_usd: \"1.00\", per: month, kind: hard, at_limit: wait}]";

/// A job with `output` tokens of at most `most`. At $10 per million its upper bound is `most` thousandths of
/// a cent, plus the prompt: under $0.0005.
fn job(at: usize, output: u32, most: u32) -> String {
    format!(r#"{{"prompt":"race {at} [[tokens=40,{output}]]","max_tokens":{most}}}"#)
}

async fn run(quota: &str, output: u32, most: u32) {
    let stack = Stack::start(Options {
        latency: Duration::from_millis(20),
        ..Options::default()
    })
    .await
    .unwrap();
    let meter = SimulatedProvider::limited("meter", Model::Dear, quota);
    stack
        .config_yaml(&config_yaml(&stack, &[meter], BUDGET))
        .unwrap();
    let jobs: Vec<String> = (0..JOBS).map(|at| job(at, output, most)).collect();
    let ids = stack.enqueue(&jobs).await.unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let _workers: Vec<_> = (0..WORKERS).map(|_| stack.worker().unwrap()).collect();

    eventually("what is allowed is spent", || async {
        let (calls, counts) = (
            provider_stats(&stack, "meter"),
            JobCounts::read(&stack).await?,
        );
        ensure!(
            calls.billed >= CALLS && counts.in_flight == 0,
            "{} calls of {CALLS}; {counts:?}",
            calls.billed
        );
        Ok(())
    })
    .await
    .unwrap();
    // There is no condition to wait for: no further call may come.
    tokio::time::sleep(SILENCE).await;

    let meter = provider_stats(&stack, "meter");
    assert_eq!((meter.requests, meter.billed), (CALLS, CALLS));
    let billed: Usd = stack.simulator.total_usd().parse().unwrap();
    assert!(billed <= "1".parse().unwrap(), "${billed}");
    let all_well = usize::try_from(CALLS).unwrap();
    assert_eq!(
        count_ended(&stack, &ids).await.unwrap(),
        (all_well, all_well)
    );
    let counts = JobCounts::read(&stack).await.unwrap();
    assert_eq!(counts.dead, 0, "no dead letter: {counts:?}");
    assert_eq!(
        counts.unfinished(),
        u64::try_from(JOBS).unwrap() - CALLS,
        "none is lost: {counts:?}"
    );
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(
        books.ledger.len(),
        all_well,
        "no attempt was spent by waiting"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_a_hundred_requests_allows_a_hundred_calls() {
    for _ in 0..runs() {
        // $0.0090 to $0.0095 at most: all hundred fit the budget at once.
        run(&quota(CALLS), 880, 900).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_smaller_than_the_quota_is_not_overrun() {
    for _ in 0..runs() {
        // At most $0.0100 to $0.0105, in fact $0.0099. Unused amounts are returned, so 100 calls cost $0.99:
        // after 99 there is room for one more, after 100 there is none.
        run(&quota(2 * CALLS), 980, 1000).await;
    }
}

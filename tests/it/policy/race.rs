//! Eight workers race for a quota of a hundred requests and a hard budget of a dollar: a hundred calls
//! reach the provider, never one more, and at most a dollar is billed.

use std::time::Duration;

use anyhow::ensure;
use longshore_shared::money::Usd;
use longshore_tests::stack::{Options, Stack, eventually};

use super::{Model, Places, Played, config, ended, seen};

const WORKERS: usize = 8;
const JOBS: usize = 2_000;
const CALLS: u64 = 100;
/// How long nothing more may come after the last call that was allowed.
const SILENCE: Duration = Duration::from_secs(3);

/// `LONGSHORE_TEST_RUNS`: how often each race is run.
fn runs() -> usize {
    let asked = std::env::vars().find(|(name, _)| name == "LONGSHORE_TEST_RUNS");
    asked.map_or(2, |(_, runs)| runs.parse().unwrap())
}

/// A quota of so many requests a day, whose day does not end while the test runs.
fn quota(requests: u64) -> String {
    let away = chrono::Utc::now() + chrono::TimeDelta::hours(12);
    format!(
        "{{requests_per_day: {requests}, time_zone: UTC, reset_at: \"{}\"}}",
        away.format("%H:%M")
    )
}

/// Of a month, so that no reset comes while the test runs.
const BUDGET: &str = "budgets: [{name: all, scope: overall, limit_usd: \"1.00\", per: month, kind: hard, at_limit: wait}]";

/// A job whose answer has so many tokens of the so many that it may have. At $10 a million the upper
/// bound is `most` thousandths of a cent, and its prompt's: under $0.0005.
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
    let meter = Played::limited("meter", Model::Dear, quota);
    stack
        .config_yaml(&config(&stack, &[meter], BUDGET))
        .unwrap();
    let jobs: Vec<String> = (0..JOBS).map(|at| job(at, output, most)).collect();
    let ids = stack.enqueue(&jobs).await.unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let _workers: Vec<_> = (0..WORKERS).map(|_| stack.worker().unwrap()).collect();

    eventually("what is allowed is spent", || async {
        let (calls, places) = (seen(&stack, "meter"), Places::of(&stack).await?);
        ensure!(
            calls.billed >= CALLS && places.begun == 0,
            "{} calls of {CALLS}; {places:?}",
            calls.billed
        );
        Ok(())
    })
    .await
    .unwrap();
    // There is no condition for what must not come.
    tokio::time::sleep(SILENCE).await;

    let meter = seen(&stack, "meter");
    assert_eq!((meter.requests, meter.billed), (CALLS, CALLS));
    let billed: Usd = stack.simulator.total_usd().parse().unwrap();
    assert!(billed <= "1".parse().unwrap(), "${billed}");
    let all_well = usize::try_from(CALLS).unwrap();
    assert_eq!(ended(&stack, &ids).await.unwrap(), (all_well, all_well));
    let places = Places::of(&stack).await.unwrap();
    assert_eq!(places.dead, 0, "none is dead: {places:?}");
    assert_eq!(
        places.unfinished(),
        u64::try_from(JOBS).unwrap() - CALLS,
        "none is lost: {places:?}"
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
async fn a_quota_of_a_hundred_requests_is_a_hundred_calls() {
    for _ in 0..runs() {
        // $0.0090 to $0.0095 at most: all hundred fit the budget at once.
        run(&quota(CALLS), 880, 900).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_spent_before_the_quota_holds_as_well() {
    for _ in 0..runs() {
        // At most $0.0100 to $0.0105, in fact $0.0099. What is not used is given back, so 100 calls
        // come to $0.99; with 99 settled there is room for one more, with 100 there is none.
        run(&quota(2 * CALLS), 980, 1000).await;
    }
}

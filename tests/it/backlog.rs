//! Jobs parked until a quota resets cost almost nothing, and all run after the reset.

use std::time::{Duration, Instant};

use anyhow::ensure;
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use longshore_protocol::clock::local_time;
use longshore_simulator::Limits;
use longshore_tests::{
    bench::process,
    stack::{Options, Process, Stack, prompts, within},
};

use crate::{
    admin::maintenance::wait_for_sweep,
    machine::{beside_few, print_figures, size},
    policy::{JobCounts, count_ended, provider_stats},
    simulated::{Model, SimulatedProvider, config_yaml},
};

/// How long the idle system is measured.
const MEASURED: Duration = Duration::from_secs(10);
/// The time for starting processes, for the sweep of a new leader, and for a first sample of the idle system.
const SLACK: Duration = Duration::from_secs(10);

/// Jobs that this machine answers a second now. It decides how far away the reset has to be.
async fn measure_pace() -> u64 {
    const JOBS: u64 = 2_000;
    let stack = Stack::start(Options::default()).await.unwrap();
    let _workers = [stack.worker().unwrap(), stack.worker().unwrap()];
    let warm_up = stack.enqueue(&prompts(100)).await.unwrap();
    stack.successes(&warm_up).await.unwrap();
    let began = Instant::now();
    let count = usize::try_from(JOBS).unwrap();
    let ids = stack.enqueue(&prompts(count)).await.unwrap();
    stack.successes(&ids).await.unwrap();
    let took = u64::try_from(began.elapsed().as_millis()).unwrap();
    (JOBS * 1000 / took.max(1)).max(1)
}

/// When the quota resets: after `jobs` calls exhausted it at two thirds of this pace, as many jobs were parked
/// at twice the pace, and the idle system was measured.
fn next_reset(jobs: u64, pace: u64) -> DateTime<Utc> {
    let exhaust = Duration::from_millis(jobs * 1500 / pace);
    let park = Duration::from_millis(jobs * 500 / pace);
    full_minute_after(local_time() + exhaust + park + MEASURED + SLACK)
}

/// The next full minute after a time. Quotas reset at full minutes, so this is the soonest possible reset.
fn full_minute_after(time: DateTime<Utc>) -> DateTime<Utc> {
    let minute = TimeDelta::minutes(1);
    time.duration_trunc(minute).unwrap() + minute
}

/// The number of commands that Redis executed before this one.
async fn commands(connection: &mut redis::aio::MultiplexedConnection) -> u64 {
    let mut stats = redis::cmd("INFO");
    stats.arg("stats");
    let info: redis::InfoDict = stats.query_async(connection).await.unwrap();
    info.get("total_commands_processed").unwrap()
}

/// The share of a core that the busiest worker uses, and Redis's commands per second.
async fn measure_idle_cost(stack: &Stack, workers: &[Process], time: Duration) -> (f64, f64) {
    let cpu = || -> Vec<Duration> {
        let times = workers.iter().map(|worker| process::cpu(worker.pid()));
        times.map(Result::unwrap).collect()
    };
    let mut connection = stack.connection().await.unwrap();
    let (cpu_before, before) = (cpu(), commands(&mut connection).await);
    // The length of the measurement; there is no condition to wait for.
    tokio::time::sleep(time).await;
    // The first INFO is ours.
    let foreign = commands(&mut connection).await.saturating_sub(before + 1);
    let busiest = cpu()
        .iter()
        .zip(&cpu_before)
        .map(|(after, before)| after.saturating_sub(*before))
        .max();
    let foreign = f64::from(u32::try_from(foreign).unwrap());
    (
        busiest.unwrap().as_secs_f64() / time.as_secs_f64(),
        foreign / time.as_secs_f64(),
    )
}

/// As many calls as the backlog has jobs exhaust the quota first, so that the whole backlog fits the next
/// window.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_parked_until_a_reset_costs_almost_nothing() {
    let jobs: u64 = size(20_000, 100_000);
    let _machine = beside_few().await;
    let pace = measure_pace().await;
    let stack = Stack::start(Options::default()).await.unwrap();
    let reset = next_reset(jobs, pace);
    let at = reset.format("%H:%M");
    let limits = format!("{{requests_per_day: {jobs}, time_zone: UTC, reset_at: \"{at}\"}}");
    let meter = SimulatedProvider::limited("meter", Model::Cheap, &limits);
    stack
        .config_yaml(&config_yaml(&stack, &[meter], ""))
        .unwrap();
    stack.simulator.set_limits(
        Some("meter"),
        Limits {
            requests_per_day: Some(u32::try_from(jobs).unwrap()),
            reset_at: Some(reset.time()),
            ..Limits::default()
        },
    );
    let scheduler = stack.scheduler().unwrap();
    let workers = [stack.worker().unwrap(), stack.worker().unwrap()];
    let bodies: Vec<String> = (0..jobs)
        .map(|at| format!(r#"{{"prompt":"job {at}"}}"#))
        .collect();
    let timeout = (reset - local_time()).to_std().unwrap();

    stack.enqueue(&bodies).await.unwrap();
    within(timeout, "the quota is used up", || async {
        let served = provider_stats(&stack, "meter").billed;
        ensure!(served == jobs, "{served} of {jobs}");
        Ok(())
    })
    .await
    .unwrap();
    let ids = stack.enqueue(&bodies).await.unwrap();
    within(timeout, "all of them are parked", || async {
        let (counts, unrecorded) = (
            JobCounts::read(&stack).await?,
            stack.broker.events().unrecorded_count().await?,
        );
        ensure!(
            counts.in_flight == 0 && counts.unfinished() == jobs && unrecorded == 0,
            "{counts:?}, {unrecorded} not recorded"
        );
        Ok(())
    })
    .await
    .unwrap();
    // A leader sweeps when it begins and then every minute, which takes some hundred commands at once.
    scheduler.shut_down().await.unwrap();
    let _scheduler = stack.scheduler().unwrap();
    wait_for_sweep(&stack).await;
    within(timeout, "the system is idle", || async {
        let (_, commands) = measure_idle_cost(&stack, &workers, Duration::from_secs(1)).await;
        ensure!(commands < 50.0, "{commands} commands a second");
        Ok(())
    })
    .await
    .unwrap();
    let (cpu, commands) = measure_idle_cost(&stack, &workers, MEASURED).await;
    assert!(
        local_time() < reset,
        "the reset came during the measurement: this machine is slower than {pace} calls a second now"
    );
    print_figures(&format!(
        "{jobs} jobs parked: {:.2} % of a core for the busiest worker, {commands:.1} commands a second",
        cpu * 100.0
    ));
    assert!(cpu < 0.02, "{cpu} of a core");
    assert!(commands < 50.0, "{commands} commands a second");
    assert_eq!(provider_stats(&stack, "meter").requests, jobs, "no call");

    let timeout = timeout + Duration::from_secs(60 + jobs / 100);
    within(timeout, "all run", || async {
        let served = provider_stats(&stack, "meter").billed;
        ensure!(served == 2 * jobs, "{served} calls for twice {jobs} jobs");
        let (over, succeeded) = count_ended(&stack, &ids).await?;
        ensure!(over as u64 == jobs, "{over} of {jobs}");
        ensure!(succeeded == over, "{} failed", over - succeeded);
        Ok(())
    })
    .await
    .unwrap();
    let calls = stack.simulator.calls("meter");
    let first = calls[usize::try_from(jobs).unwrap()].at_us;
    let reset_us = u64::try_from(reset.timestamp_micros()).unwrap();
    assert!(first >= reset_us, "{} µs early", reset_us - first);
    assert_eq!(calls.len() as u64, 2 * jobs, "each was called for once");
    print_figures(&format!(
        "the first ran {} ms after the reset",
        (first - reset_us) / 1000
    ));
}

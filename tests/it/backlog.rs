//! Jobs parked until a quota resets cost almost nothing, and all run after the reset.

use std::time::Duration;

use anyhow::ensure;
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use longshore_simulator::Limits;
use longshore_tests::{
    bench::process,
    stack::{Options, Process, Stack, within},
};

use crate::{
    machine::{beside_few, print_figures, size},
    policy::{Places, ended, seen},
    simulated::{Model, SimulatedProvider, config},
};

/// Jobs that this machine answers a second at least while the quota is used up: in the short form beside a
/// few other tests, in the full one by itself.
fn pace() -> u64 {
    size(400, 800)
}

/// The least time between the exhausted quota and its reset.
const WAIT: TimeDelta = TimeDelta::seconds(25);
const LOOK: Duration = Duration::from_secs(10);

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
async fn idle_cost(stack: &Stack, workers: &[Process], time: Duration) -> (f64, f64) {
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
    let stack = Stack::start(Options::default()).await.unwrap();
    let spent_by = Utc::now() + TimeDelta::seconds(i64::try_from(jobs / pace()).unwrap());
    let reset = full_minute_after(spent_by + WAIT);
    let at = reset.format("%H:%M");
    let limits = format!("{{requests_per_day: {jobs}, time_zone: UTC, reset_at: \"{at}\"}}");
    let meter = SimulatedProvider::limited("meter", Model::Cheap, &limits);
    stack.config_yaml(&config(&stack, &[meter], "")).unwrap();
    stack.simulator.set_limits(
        Some("meter"),
        Limits {
            requests_per_day: Some(u32::try_from(jobs).unwrap()),
            reset_at: Some(reset.time()),
            ..Limits::default()
        },
    );
    let _scheduler = stack.scheduler().unwrap();
    let workers = [stack.worker().unwrap(), stack.worker().unwrap()];
    let bodies: Vec<String> = (0..jobs)
        .map(|at| format!(r#"{{"prompt":"job {at}"}}"#))
        .collect();
    let patience = (reset - Utc::now()).to_std().unwrap();

    stack.enqueue(&bodies).await.unwrap();
    within(patience, "the quota is used up", || async {
        let served = seen(&stack, "meter").billed;
        ensure!(served == jobs, "{served} of {jobs}");
        Ok(())
    })
    .await
    .unwrap();
    let ids = stack.enqueue(&bodies).await.unwrap();
    within(patience, "all of them wait", || async {
        let (places, unrecorded) = (
            Places::of(&stack).await?,
            stack.broker.events().unrecorded_count().await?,
        );
        ensure!(
            places.begun == 0 && places.unfinished() == jobs && unrecorded == 0,
            "{places:?}, {unrecorded} not recorded"
        );
        let (_, commands) = idle_cost(&stack, &workers, Duration::from_secs(1)).await;
        ensure!(commands < 50.0, "{commands} commands a second");
        Ok(())
    })
    .await
    .unwrap();
    let (cpu, commands) = idle_cost(&stack, &workers, LOOK).await;
    assert!(
        Utc::now() < reset,
        "the reset came while it was looked: this machine answers less than {} calls a second",
        pace()
    );
    print_figures(&format!(
        "{jobs} jobs wait: {:.2} % of a core for the busiest worker, {commands:.1} commands a second",
        cpu * 100.0
    ));
    assert!(cpu < 0.02, "{cpu} of a core");
    assert!(commands < 50.0, "{commands} commands a second");
    assert_eq!(seen(&stack, "meter").requests, jobs, "nobody called");

    let patience = patience + Duration::from_secs(60 + jobs / 100);
    within(patience, "all go on", || async {
        let served = seen(&stack, "meter").billed;
        ensure!(served == 2 * jobs, "{served} calls for twice {jobs} jobs");
        let (over, well) = ended(&stack, &ids).await?;
        ensure!(over as u64 == jobs, "{over} of {jobs}");
        ensure!(well == over, "{} failed", over - well);
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
        "the first went on {} ms after the reset",
        (first - reset_us) / 1000
    ));
}

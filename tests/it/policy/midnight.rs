//! Jobs that wait for a quota's reset cost next to nothing, and all go on when it comes.

use std::time::Duration;

use anyhow::ensure;
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use longshore_local::ChildProcess;
use longshore_tests::{
    bench::process,
    simulator::Limits,
    stack::{Options, Stack, within},
};

use super::{Model, Places, Played, config, ended, seen, size, tell, turn};

/// What the machine is trusted to answer a second, while the quota is being used up.
const PACE: u64 = 800;
/// What is left of the wait when the quota is used up, at least.
const WAIT: TimeDelta = TimeDelta::seconds(25);
const LOOK: Duration = Duration::from_secs(10);

/// The next full minute after a time. Quotas are reset at full minutes, so this is as near as a midnight
/// can be moved.
fn full_minute_after(time: DateTime<Utc>) -> DateTime<Utc> {
    let minute = TimeDelta::minutes(1);
    time.duration_trunc(minute).unwrap() + minute
}

/// The commands that Redis has executed before this one.
async fn commands(connection: &mut redis::aio::MultiplexedConnection) -> u64 {
    let mut stats = redis::cmd("INFO");
    stats.arg("stats");
    let info: redis::InfoDict = stats.query_async(connection).await.unwrap();
    info.get("total_commands_processed").unwrap()
}

/// The share of a core that the busiest worker takes, and Redis's commands a second.
async fn idle_cost(stack: &Stack, workers: &[ChildProcess], time: Duration) -> (f64, f64) {
    let cpu = || -> Vec<Duration> {
        let times = workers.iter().map(|worker| process::cpu(worker.pid()));
        times.map(Result::unwrap).collect()
    };
    let mut connection = stack.connection().await.unwrap();
    let (cpu_before, before) = (cpu(), commands(&mut connection).await);
    // Nothing is waited for: this is how long is looked.
    tokio::time::sleep(time).await;
    // The first look is ours.
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

/// The quota is as large as the backlog, and is used up by as many calls first: then all of the backlog
/// fits the new day.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_that_waits_for_the_reset_costs_next_to_nothing() {
    let _turn = turn().await;
    let jobs: u64 = size(20_000, 100_000);
    let stack = Stack::start(Options::default()).await.unwrap();
    let spent_by = Utc::now() + TimeDelta::seconds(i64::try_from(jobs / PACE).unwrap());
    let reset = full_minute_after(spent_by + WAIT);
    let at = reset.format("%H:%M");
    let limits = format!("{{requests_per_day: {jobs}, time_zone: UTC, reset_at: \"{at}\"}}");
    let meter = Played::limited("meter", Model::Cheap, &limits);
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
        let (places, unrecorded) = (Places::of(&stack).await?, stack.broker.unrecorded().await?);
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
        "the reset came while it was looked: this machine answers less than {PACE} calls a second"
    );
    tell(&format!(
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
    tell(&format!(
        "the first went on {} ms after the reset",
        (first - reset_us) / 1000
    ));
}

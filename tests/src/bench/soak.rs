//! A steady load for a long time: what grows in the memory of the worker, the scheduler and Redis.

use std::time::{Duration, Instant};

use super::{
    Sizes, bare, figure,
    machine::{ExternalSimulator, Machine, real_worker, until_recorded},
    message, process, progress,
    report::{Finding, Promise, Section},
    throughput::CONCURRENCY,
};
use crate::stack::Stack;

/// Messages of one pipeline, ten times a second.
const EVERY: Duration = Duration::from_millis(100);

/// The provider's latency.
const LATENCY: Duration = Duration::from_millis(200);

/// How often the memory is read.
const SAMPLE: Duration = Duration::from_secs(5);

/// Jobs that run before Redis counts as idle: connections, scripts and the nodes of its streams stay.
const WARM_UP: usize = 1_000;

/// How long Redis keeps the outcome of each job, so that it can become idle soon.
const RESULTS: Duration = Duration::from_secs(2);

/// Sizes that differ by less are the same.
const SAME_MIB: f64 = 0.5;

/// The longest time until Redis is idle.
const TIMEOUT: Duration = Duration::from_mins(2);

/// The memory of each process at a time, in MiB.
struct Sample {
    minutes: f64,
    mib: [f64; 3],
}

const WHO: [&str; 3] = ["worker", "scheduler", "Redis"];

pub(super) async fn measure(machine: &Machine, sizes: &Sizes) -> anyhow::Result<Section> {
    let (rate, whole) = (sizes.soak_rate, sizes.soak);
    let mut stack = machine.stack(CONCURRENCY).await?;
    stack.set_env(
        "LONGSHORE_RETENTION_UNREQUESTED_RESULTS",
        &format!("{}s", RESULTS.as_secs()),
    );
    let simulator = ExternalSimulator::start(&stack, LATENCY).await?;
    let mut worker = real_worker(&stack, &simulator).await?;
    let scheduler = stack.scheduler()?;
    let warm_up: Vec<String> = (0..WARM_UP).map(message).collect();
    stack.enqueue(&warm_up).await?;
    until_recorded(&stack, WARM_UP).await?;
    tokio::time::sleep(2 * RESULTS).await;
    let idle = redis_mib(&stack).await?;
    let began = Instant::now();
    let mut beat = tokio::time::interval(EVERY);
    let (mut sent, mut samples, mut next) = (0, Vec::new(), SAMPLE);
    while began.elapsed() < whole {
        beat.tick().await;
        // What is due by now, so that a late beat loses nothing.
        let due = usize::try_from(began.elapsed().as_millis())? * rate / 1000;
        let messages: Vec<String> = (sent..due).map(message).collect();
        stack.enqueue(&messages).await?;
        sent = due;
        if began.elapsed() >= next {
            next += SAMPLE;
            let mib = [
                process::resident_mib(worker.pid())?,
                process::resident_mib(scheduler.pid())?,
                redis_mib(&stack).await?,
            ];
            let minutes = began.elapsed().as_secs_f64() / 60.0;
            if samples.len().is_multiple_of(12) {
                progress(&format!(
                    "soak: {minutes:.1} min, {sent} jobs, MiB {mib:.1?}"
                ));
            }
            samples.push(Sample { minutes, mib });
        }
    }
    let left = stack.depth().await?;
    until_recorded(&stack, WARM_UP + sent).await?;
    let after = until_idle(&stack, idle).await?;
    worker.stop(Duration::from_secs(10)).await?;
    scheduler.shut_down().await?;
    let how = format!(
        "{rate} jobs/s for {:.0} min ({sent} jobs, all recorded), a provider of {} ms, one worker \
         (LONGSHORE_CONCURRENCY={CONCURRENCY}) and one scheduler; resident memory every {} s, Redis by used_memory; the \
         slope over the last three quarters",
        whole.as_secs_f64() / 60.0,
        LATENCY.as_millis(),
        SAMPLE.as_secs(),
    );
    Ok(section(how, &samples, idle, after).also(
        "jobs left in the queue at the end",
        figure(left.available + left.running),
        "",
    ))
}

fn section(how: String, samples: &[Sample], idle: f64, after: f64) -> Section {
    let steady = samples.get(samples.len() / 4..).unwrap_or_default();
    let mut section = Section::new("soak", "memory under a steady load", how);
    for (index, (who, what)) in WHO
        .into_iter()
        .zip(["growth, worker", "growth, scheduler", "growth, Redis"])
        .enumerate()
    {
        let points: Vec<(f64, f64)> = steady
            .iter()
            .filter_map(|sample| Some((sample.minutes, *sample.mib.get(index)?)))
            .collect();
        section = section.finding(Finding::new(
            what,
            (slope(&points), "MiB/min"),
            Promise::AtMost,
            0.5,
            0.1,
        ));
        let ends = points.first().zip(points.last());
        let (from, to) = ends.map_or((0.0, 0.0), |(first, last)| (first.1, last.1));
        section = section
            .also(format!("{who}, after a quarter"), from, "MiB")
            .also(format!("{who}, at the end"), to, "MiB");
    }
    section
        .finding(Finding::new(
            "Redis afterwards, over its idle size before",
            (after - idle, "MiB"),
            Promise::AtMost,
            2.0,
            0.5,
        ))
        .also("Redis, idle before", idle, "MiB")
        .also("Redis, idle after", after, "MiB")
}

/// The size of Redis when it has become small again, or does not become smaller any more.
async fn until_idle(stack: &Stack, idle: f64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut size = redis_mib(stack).await?;
    while size > idle + SAME_MIB && began.elapsed() < TIMEOUT {
        tokio::time::sleep(SAMPLE).await;
        size = redis_mib(stack).await?;
    }
    Ok(size)
}

async fn redis_mib(stack: &Stack) -> anyhow::Result<f64> {
    let bytes: u64 = bare::info(stack, "used_memory").await?.parse()?;
    Ok(figure(bytes) / 1024.0 / 1024.0)
}

/// How much the values grow for each 1 of the positions, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = figure(points.len());
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if variance > 0.0 {
        covariance / variance
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::slope;

    #[test]
    fn the_slope_is_the_growth_of_a_line() {
        let line: Vec<(f64, f64)> = (0..10)
            .map(|x| (f64::from(x), 3.0 * f64::from(x) + 1.0))
            .collect();
        assert!((slope(&line) - 3.0).abs() < 1e-9);
        let flat = [(0.0, 5.0), (1.0, 5.0), (2.0, 5.0)];
        assert!(slope(&flat).abs() < 1e-9);
        assert!(slope(&[]).abs() < 1e-9);
    }
}

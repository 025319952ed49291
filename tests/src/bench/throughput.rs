//! N1: no-op jobs a second.

use std::time::Duration;

use anyhow::ensure;

use super::{
    Sizes, bare,
    drain::{Drained, drain},
    machine::{Machine, noop_worker, recorded_jobs},
    median, message, micros_each, progress, rate,
    report::{Finding, Promise, Section},
};

/// `LONGSHORE_CONCURRENCY` of no-op workers: enough for full pipelines to Redis; more only costs memory.
pub(super) const CONCURRENCY: usize = 1000;

pub(super) async fn measure(machine: &Machine, sizes: &Sizes) -> anyhow::Result<Section> {
    let mut raw = Vec::new();
    let mut runs = Vec::new();
    for run in 1..=sizes.runs {
        progress(&format!("N1: run {run} of {}", sizes.runs));
        let (drained, bare) = once(machine, sizes.jobs, message).await?;
        runs.push(drained);
        raw.push(rate(sizes.jobs, bare));
    }
    let jobs = sizes.jobs;
    let server = bare::server(&machine.stack(CONCURRENCY).await?).await?;
    let settled = median(runs.iter().map(|run| rate(jobs, run.settled)));
    let recorded = median(runs.iter().map(|run| rate(jobs, run.recorded)));
    let how = format!(
        "{jobs} jobs queued, then one worker (LONGSHORE_CONCURRENCY={CONCURRENCY}), which records them as well; \
         from its first read; {server}, AOF everysec; median of runs: {}",
        sizes.runs
    );
    let section = Section::new("N1", "no-op jobs routed, reserved, fenced and settled", how)
        .finding(Finding::new(
            "until the last is settled",
            (settled, "/s"),
            Promise::AtLeast,
            15_000.0,
            40_000.0,
        ))
        .finding(Finding::new(
            "until the last ledger row",
            (recorded, "/s"),
            Promise::AtLeast,
            10_000.0,
            20_000.0,
        ))
        .raw(
            format!("XREADGROUP COUNT {}, XACK and XDEL", bare::COUNT),
            median(raw),
            "/s",
        )
        .also(
            "worker memory, peak",
            median(runs.iter().map(|run| run.peak_mib)),
            "MiB",
        );
    Ok(processor_time(section, "a job", jobs, &runs))
}

/// The processor time of each program per job of those runs.
pub(super) fn processor_time(
    mut section: Section,
    job: &str,
    jobs: usize,
    runs: &[Drained],
) -> Section {
    for (index, who) in ["worker", "Redis", "Postgres"].into_iter().enumerate() {
        let used = runs.iter().filter_map(|run| run.cpu.get(index));
        let each = median(used.map(|time| micros_each(*time, jobs)));
        section = section.also(format!("processor time {job}, {who}"), each, "µs");
    }
    section
}

/// Drains jobs on a new stack, and measures a bare loop there.
pub(super) async fn once(
    machine: &Machine,
    jobs: usize,
    message: fn(usize) -> String,
) -> anyhow::Result<(Drained, Duration)> {
    let stack = machine.stack(CONCURRENCY).await?;
    let bare = bare::drain_bare(&stack, jobs).await?;
    let messages: Vec<String> = (0..jobs).map(message).collect();
    stack.enqueue(&messages).await?;
    let worker = noop_worker(&stack, None)?;
    let drained = drain(&stack, worker, machine.postgres_pid(), jobs).await?;
    let rows = recorded_jobs(&stack).await?;
    ensure!(rows == u64::try_from(jobs)?, "{jobs} jobs, but {rows} rows");
    Ok((drained, bare))
}

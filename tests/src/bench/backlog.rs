//! N5: a million jobs queued.

use std::time::{Duration, Instant};

use super::{
    Sizes,
    bare::info,
    drain::drain,
    figure,
    machine::{Machine, noop_worker},
    message, progress, rate,
    report::{Finding, Promise, Section},
    throughput::{CONCURRENCY, once},
};
use crate::stack::Stack;

/// Jobs created at once.
const CHUNK: usize = 10_000;

pub(super) async fn measure(machine: &Machine, sizes: &Sizes) -> anyhow::Result<Section> {
    progress("N5: the short queue, before");
    let (before, _) = once(machine, sizes.jobs, message).await?;

    progress(&format!("N5: {} jobs queued", sizes.backlog));
    let stack = machine.stack(CONCURRENCY).await?;
    let empty = info(&stack, "used_memory").await?.parse::<u64>()?;
    let began = Instant::now();
    let mut payload = 0;
    for first in (0..sizes.backlog).step_by(CHUNK) {
        let messages: Vec<String> = (first..sizes.backlog.min(first + CHUNK))
            .map(message)
            .collect();
        payload += messages.iter().map(String::len).sum::<usize>();
        stack.enqueue(&messages).await?;
    }
    let enqueued = began.elapsed();
    settle_down(&stack).await?;
    let full = info(&stack, "used_memory").await?.parse::<u64>()?;
    let worker = noop_worker(&stack, None)?;
    let long = drain(&stack, worker, machine.postgres_pid(), sizes.drained).await?;
    drop(stack);

    progress("N5: the short queue, after");
    let (after, _) = once(machine, sizes.jobs, message).await?;
    let short = f64::midpoint(
        rate(sizes.jobs, before.settled),
        rate(sizes.jobs, after.settled),
    );
    let long_rate = rate(sizes.drained, long.settled);
    let each = figure(payload) / figure(sizes.backlog);
    let memory = (figure(full) - figure(empty)) / figure(sizes.backlog);
    let how = format!(
        "{} jobs of {each:.0} bytes queued, of which the first {} are drained; against {} queued and drained, \
         the mean of a run before and one after",
        sizes.backlog, sizes.drained, sizes.jobs
    );
    Ok(Section::new("N5", "a million jobs queued", how)
        .finding(Finding::new(
            "drain rate, over that of the short queue",
            (long_rate / short, "x"),
            Promise::AtLeast,
            0.9,
            0.97,
        ))
        .finding(Finding::new(
            "Redis memory over the payload, a job",
            (memory - each, "B"),
            Promise::AtMost,
            400.0,
            150.0,
        ))
        .also("drain rate, long queue", long_rate, "/s")
        .also("drain rate, short queue", short, "/s")
        .also("worker memory, peak", long.peak_mib, "MiB")
        .also(
            "enqueued through the library, one producer",
            rate(sizes.backlog, enqueued),
            "/s",
        ))
}

/// Waits until Redis has rewritten its append-only file, which would disturb the measurement.
async fn settle_down(stack: &Stack) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if info(stack, "aof_rewrite_in_progress").await? == "0" {
            return Ok(());
        }
    }
}

//! N3: from enqueueing to the provider's call.

use std::time::Duration;

use anyhow::ensure;
use longshore_protocol::id::QueueName;
use redis::AsyncCommands as _;

use super::{
    Sizes, bare,
    drain::Watch,
    journal::{Delays, Journal, Run},
    machine::{Machine, noop_worker},
    message,
    noop::stamped_message,
    progress,
    report::{Finding, Promise, Section},
};

/// A hundred jobs a second.
const EVERY: Duration = Duration::from_millis(10);

/// Warm-up jobs, which fill connections and caches.
const WARM_UP: usize = 100;

pub(super) async fn measure(machine: &Machine, sizes: &Sizes) -> anyhow::Result<Section> {
    progress("N3: a steady hundred jobs a second");
    let stack = machine.stack(super::throughput::CONCURRENCY).await?;
    let raw = bare::delay_bare(&stack, EVERY, sizes.steady / 4).await?;
    let mut journal = Journal::at(stack.dir().join("journal"));
    let mut worker = noop_worker(&stack, Some(journal.path()))?;
    let mut watch = Watch::new(&stack).await?;
    let mut connection = stack.connection().await?;
    let queue = stack.broker.keys().queue(&QueueName::default());

    let count = usize::try_from(sizes.steady.as_millis() / EVERY.as_millis())?;
    let mut beat = tokio::time::interval(EVERY);
    for number in 0..WARM_UP + count {
        if number == WARM_UP {
            watch
                .until(&mut worker, |sample| sample.queued == 0)
                .await?;
            beat.reset();
        }
        beat.tick().await;
        let job = if number < WARM_UP {
            message(number)
        } else {
            stamped_message(number)
        };
        connection
            .xadd::<_, _, _, _, ()>(&queue, "*", &[("job", job)])
            .await?;
    }
    watch
        .until(&mut worker, |sample| sample.queued == 0)
        .await?;
    worker.stop(Duration::from_secs(10)).await?;
    let delays = Delays::of(journal.read()?.iter().map(Run::delay))?;
    ensure!(
        delays.count == u64::try_from(count)?,
        "{count} jobs, but {} arrived",
        delays.count
    );

    let how = format!(
        "100 jobs/s for {} s; from just before XADD until the provider is called, in the worker's process",
        sizes.steady.as_secs()
    );
    let finding = |what, measured, first, to_reach| {
        Finding::new(what, (measured, "ms"), Promise::AtMost, first, to_reach)
    };
    Ok(Section::new("N3", "enqueue to provider call", how)
        .finding(finding("p50", delays.p50, 2.0, 0.8))
        .finding(finding("p99", delays.p99, 8.0, 3.0))
        .raw("XADD to a waiting XREADGROUP, p50", raw.p50, "ms")
        .raw("XADD to a waiting XREADGROUP, p99", raw.p99, "ms")
        .also("p90", delays.p90, "ms")
        .also("max", delays.max, "ms"))
}

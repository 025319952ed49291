//! N3: from enqueueing to the provider's call.

use std::time::Duration;

use anyhow::ensure;
use longshore_protocol::id::QueueName;

use super::{
    Sizes,
    bare::{Pace, delay_bare},
    drain::Watch,
    journal::{Delays, Journal, Run},
    machine::{Machine, noop_worker},
    message,
    noop::stamped_message,
    progress,
    report::{Finding, Promise, Section, number},
};

/// The rate to which the promises belong: a hundred jobs a second.
const PACE: Pace = Pace {
    every: Duration::from_millis(10),
    together: 1,
};

/// Higher rates: a thousand and five thousand.
const FASTER: [Pace; 2] = [
    Pace {
        every: Duration::from_millis(1),
        together: 1,
    },
    Pace {
        every: Duration::from_millis(1),
        together: 5,
    },
];

/// Warm-up jobs, which fill connections and caches.
const WARM_UP: usize = 100;

pub(super) async fn measure(machine: &Machine, sizes: &Sizes) -> anyhow::Result<Section> {
    let (delays, raw) = at(machine, PACE, sizes.steady).await?;
    let how = format!(
        "{} jobs/s for {} s; from just before XADD until the provider is called, in the worker's process",
        number(PACE.rate()),
        sizes.steady.as_secs()
    );
    let finding = |what, measured, first, to_reach| {
        Finding::new(what, (measured, "ms"), Promise::AtMost, first, to_reach)
    };
    let mut section = Section::new("N3", "enqueue to provider call", how)
        .finding(finding("p50", delays.p50, 2.0, 0.8))
        .finding(finding("p99", delays.p99, 8.0, 3.0))
        .finding(finding(
            "p99, above that of XADD to a waiting XREADGROUP",
            delays.p99 - raw.p99,
            3.0,
            1.0,
        ))
        .raw("XADD to a waiting XREADGROUP, p50", raw.p50, "ms")
        .raw("XADD to a waiting XREADGROUP, p99", raw.p99, "ms")
        .also("p90", delays.p90, "ms")
        .also("max", delays.max, "ms");
    for pace in FASTER {
        let (delays, raw) = at(machine, pace, sizes.steady).await?;
        let rate = number(pace.rate());
        section = section
            .raw(format!("p50 at {rate}/s"), raw.p50, "ms")
            .raw(format!("p99 at {rate}/s"), raw.p99, "ms")
            .also(format!("p50 at {rate}/s"), delays.p50, "ms")
            .also(format!("p99 at {rate}/s"), delays.p99, "ms");
    }
    Ok(section)
}

/// The delays at this pace: until the call, and until a bare XREADGROUP returns.
async fn at(machine: &Machine, pace: Pace, time: Duration) -> anyhow::Result<(Delays, Delays)> {
    progress(&format!(
        "N3: a steady {} jobs a second",
        number(pace.rate())
    ));
    let stack = machine.stack(super::throughput::CONCURRENCY).await?;
    let raw = delay_bare(&stack, pace, time / 4).await?;
    let mut journal = Journal::at(stack.dir().join("journal"));
    let mut worker = noop_worker(&stack, Some(journal.path()))?;
    let mut watch = Watch::new(&stack).await?;
    let mut connection = stack.connection().await?;
    let queue = stack.broker.keys().queue(&QueueName::default());
    let warm_up: Vec<String> = (0..WARM_UP).map(message).collect();
    stack.enqueue(&warm_up).await?;
    watch
        .until(&mut worker, |sample| sample.queued == 0)
        .await?;
    let count = pace.count(time)?;
    let mut beat = tokio::time::interval(pace.every);
    for first in (0..count).step_by(pace.together) {
        beat.tick().await;
        let mut pipe = redis::pipe();
        for job in first..first + pace.together {
            pipe.xadd(&queue, "*", &[("job", stamped_message(job))])
                .ignore();
        }
        pipe.query_async::<()>(&mut connection).await?;
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
    Ok((delays, raw))
}

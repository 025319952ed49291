//! The cost of a concurrency limit: where it never parks a job, and where it parks nearly all.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{
    Sizes,
    drain::{Drained, Watch},
    machine::{ExternalSimulator, Machine, real_worker},
    median, message, progress, rate,
    report::{Finding, Promise, Section},
    throughput::{self, CONCURRENCY, processor_time},
};
use crate::stack::within;

/// The slots of the key that parks jobs.
const SLOTS: usize = 20;

/// The provider's latency for those.
const LATENCY: Duration = Duration::from_millis(100);

/// All of them take some seconds.
const TIMEOUT: Duration = Duration::from_mins(1);

pub(super) async fn measure(machine: &Machine, sizes: &Sizes) -> anyhow::Result<Section> {
    let (free, held) = (sizes.jobs, sizes.calls / 5);
    let (with, without) = in_pairs(machine, free, sizes.pairs).await?;
    let mut kept = Vec::new();
    for run in 1..=sizes.runs {
        progress(&format!("keys: run {run} of {}", sizes.runs));
        let few_places = wait_for_calls(machine, SLOTS, held, message).await?;
        let few_slots = wait_for_calls(machine, held, held, narrow).await?;
        kept.push(few_places / few_slots);
    }
    let ratio = median(
        with.iter()
            .zip(&without)
            .map(|(with, without)| without.settled.as_secs_f64() / with.settled.as_secs_f64()),
    );
    let how = format!(
        "{free} no-op jobs of one key whose limit holds none back, and as many without a key, one after the other in \
         {} pairs; then {held} jobs of {LATENCY:?} of one key with a limit of {SLOTS}, over as many in a worker with \
         so many slots, {} times; medians",
        with.len(),
        kept.len(),
    );
    let settled = |runs: &[Drained]| median(runs.iter().map(|run| rate(free, run.settled)));
    let mut section = Section::new("keys", "jobs with a concurrency key, of those without", how)
        .finding(Finding::new(
            "settled, where the limit holds none back",
            (ratio, "x"),
            Promise::AtLeast,
            0.9,
            1.0,
        ))
        .finding(Finding::new(
            "throughput, where it holds back nearly all",
            (median(kept), "x"),
            Promise::AtLeast,
            0.9,
            1.0,
        ));
    for (job, runs) in [("with a key", with), ("without", without)] {
        section = section.also(format!("settled {job}"), settled(&runs), "/s");
        section = processor_time(section, &format!("a job {job}"), free, &runs);
    }
    Ok(section)
}

/// Drains jobs with a key that parks none, and the same number without a key, repeatedly.
async fn in_pairs(
    machine: &Machine,
    jobs: usize,
    pairs: usize,
) -> anyhow::Result<(Vec<Drained>, Vec<Drained>)> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for pair in 1..=pairs {
        progress(&format!("keys: pair {pair} of {pairs}"));
        // Each is first equally often, so that other load on the machine affects both.
        for keyed in [pair % 2 == 0, pair % 2 == 1] {
            let (runs, message): (_, fn(usize) -> String) = if keyed {
                (&mut with, roomy)
            } else {
                (&mut without, message)
            };
            runs.push(throughput::once(machine, jobs, message).await?.0);
        }
    }
    Ok((with, without))
}

/// How long a worker with this many slots takes for these calls, in seconds.
async fn wait_for_calls(
    machine: &Machine,
    slots: usize,
    calls: usize,
    message: fn(usize) -> String,
) -> anyhow::Result<f64> {
    let stack = machine.stack(slots).await?;
    let simulator = ExternalSimulator::start(&stack, LATENCY).await?;
    let mut worker = real_worker(&stack, &simulator).await?;
    let mut watch = Watch::new(&stack).await?;
    let messages: Vec<String> = (0..calls).map(message).collect();
    let began = Instant::now();
    stack.enqueue(&messages).await?;
    // Parked jobs are in no queue, so the provider's counts are polled.
    within(TIMEOUT, "all calls are answered", || async {
        let answered = simulator.stats().await?.answered();
        ensure!(answered == u64::try_from(calls)?, "{answered} of {calls}");
        Ok(())
    })
    .await?;
    let ended = watch
        .until(&mut worker, |sample| sample.queued == 0)
        .await?;
    Ok((ended - began).as_secs_f64())
}

fn roomy(number: usize) -> String {
    keyed(number, CONCURRENCY)
}

fn narrow(number: usize) -> String {
    keyed(number, SLOTS)
}

/// The same job with a concurrency limit.
fn keyed(number: usize, limit: usize) -> String {
    let plain = message(number);
    let members = plain.trim_end_matches('}');
    format!(r#"{members},"concurrency_key":"bench","concurrency_limit":{limit}}}"#)
}

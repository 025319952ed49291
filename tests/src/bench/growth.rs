//! What a job costs when there is ten times as much of something: queued jobs, tenants, concurrency keys, lanes of
//! parked jobs, chains at once.
//!
//! Processor time is compared, not wall time: it says what grows even where the machine has room.

use std::time::Duration;

use longshore_protocol::id::QueueName;

use super::{
    Sizes,
    drain::drain,
    machine::{Machine, noop_worker, until_recorded},
    message, micros_each, process, progress,
    report::{Finding, Promise, Section},
    throughput::CONCURRENCY,
};
use crate::stack::Stack;

/// How much more there is in the second run.
const MORE: usize = 10;

/// Jobs that a worker runs before its costs count, to fill connections and caches.
const WARM_UP: usize = 500;

/// Jobs of one lane: the first runs, and the others are parked.
const JOBS_OF_A_LANE: usize = 20;

/// Steps of one chain.
const STEPS: usize = 3;

/// Messages of one pipeline.
const CHUNK: usize = 10_000;

/// A message: the name of its field, and its value.
type Message = (&'static str, String);

/// The number of some and of more, and what a job costs then, in microseconds of all processors.
struct Pair {
    of: &'static str,
    some: usize,
    costs: [f64; 2],
}

impl Pair {
    fn ratio(&self) -> f64 {
        let [some, more] = self.costs;
        more / some
    }
}

pub(super) async fn measure(machine: &Machine, sizes: &Sizes) -> anyhow::Result<Section> {
    let some = sizes.some;
    let jobs = some * MORE * 2;
    let tenant =
        |number: usize, of: usize| with(number, &format!(r#""tenant":"t{}""#, number % of));
    let key = |number: usize, of: usize| {
        let key = format!(
            r#""concurrency_key":"k{}","concurrency_limit":{CONCURRENCY}"#,
            number % of
        );
        with(number, &key)
    };
    let lane = |number: usize, _of: usize| {
        let lane = number / JOBS_OF_A_LANE;
        with(
            number,
            &format!(r#""concurrency_key":"k{lane}","concurrency_limit":1"#),
        )
    };
    let chain = |number: usize, _of: usize| chain(number);
    let pairs = [
        queued(machine, jobs).await?,
        pair(machine, "tenants", some, tenant, |_| (jobs, jobs)).await?,
        pair(machine, "concurrency keys", some, key, |_| (jobs, jobs)).await?,
        pair(machine, "lanes of parked jobs", some, lane, |lanes| {
            (lanes * JOBS_OF_A_LANE, lanes * JOBS_OF_A_LANE)
        })
        .await?,
        pair(machine, "chains at once", some, chain, |chains| {
            (chains, chains * STEPS)
        })
        .await?,
    ];
    let how = format!(
        "processor time a job of worker, Redis and Postgres together, with ten times as much of one thing; no-op jobs, \
         one worker (LONGSHORE_CONCURRENCY={CONCURRENCY}); a lane has {JOBS_OF_A_LANE} jobs, a chain {STEPS} steps"
    );
    let mut section = Section::new("growth", "what a job costs with ten times as much", how);
    for pair in &pairs {
        section = section.finding(Finding::new(
            pair.of,
            (pair.ratio(), "x"),
            Promise::AtMost,
            1.2,
            1.05,
        ));
    }
    for Pair { of, some, costs } in pairs {
        for (number, cost) in [some, some * MORE].into_iter().zip(costs) {
            section = section.also(format!("{number} {of}"), cost, "µs");
        }
    }
    Ok(section)
}

/// The first jobs of a queue, of which it has as many, or ten times as many.
async fn queued(machine: &Machine, jobs: usize) -> anyhow::Result<Pair> {
    let mut costs = [0.0; 2];
    for (cost, queued) in costs.iter_mut().zip([jobs, jobs * MORE]) {
        progress(&format!("growth: {queued} queued jobs"));
        let stack = machine.stack(CONCURRENCY).await?;
        enqueue(&stack, queued, plain).await?;
        let worker = noop_worker(&stack, None)?;
        let drained = drain(&stack, worker, machine.postgres_pid(), jobs).await?;
        let used: Duration = drained.cpu.iter().sum();
        *cost = micros_each(used, jobs);
    }
    Ok(Pair {
        of: "queued jobs",
        some: jobs,
        costs,
    })
}

/// The costs with some and with ten times as many. `counts` says how many messages and how many jobs that makes.
async fn pair(
    machine: &Machine,
    of: &'static str,
    some: usize,
    message_of: impl Fn(usize, usize) -> Message,
    counts: impl Fn(usize) -> (usize, usize),
) -> anyhow::Result<Pair> {
    let mut costs = [0.0; 2];
    for (cost, many) in costs.iter_mut().zip([some, some * MORE]) {
        progress(&format!("growth: {many} {of}"));
        let (messages, jobs) = counts(many);
        *cost = run(machine, messages, jobs, |number| message_of(number, many)).await?;
    }
    Ok(Pair { of, some, costs })
}

/// Runs these messages in a worker that is warm, until all their jobs are recorded.
async fn run(
    machine: &Machine,
    messages: usize,
    jobs: usize,
    message_of: impl Fn(usize) -> Message,
) -> anyhow::Result<f64> {
    let stack = machine.stack(CONCURRENCY).await?;
    let mut worker = noop_worker(&stack, None)?;
    enqueue(&stack, WARM_UP, plain).await?;
    until_recorded(&stack, WARM_UP).await?;
    let used = || -> anyhow::Result<Duration> {
        Ok(process::cpu(worker.pid())?
            + process::cpu(stack.redis.pid())?
            + process::cpu_of_family(machine.postgres_pid())?)
    };
    let before = used()?;
    enqueue(&stack, messages, message_of).await?;
    until_recorded(&stack, WARM_UP + jobs).await?;
    let cost = micros_each(used()?.saturating_sub(before), jobs);
    worker.stop(Duration::from_secs(10)).await?;
    Ok(cost)
}

async fn enqueue(
    stack: &Stack,
    count: usize,
    message_of: impl Fn(usize) -> Message,
) -> anyhow::Result<()> {
    let queue = stack.broker.keys().queue(&QueueName::default());
    let mut connection = stack.connection().await?;
    for first in (0..count).step_by(CHUNK) {
        let mut pipe = redis::pipe();
        for number in first..count.min(first + CHUNK) {
            let (field, value) = message_of(number);
            pipe.xadd(&queue, "*", &[(field, value)]).ignore();
        }
        let () = pipe.query_async(&mut connection).await?;
    }
    Ok(())
}

fn plain(number: usize) -> Message {
    ("job", message(number))
}

/// A job with more fields.
fn with(number: usize, fields: &str) -> Message {
    let plain = message(number);
    ("job", format!("{},{fields}}}", plain.trim_end_matches('}')))
}

/// A chain whose steps follow one another.
fn chain(number: usize) -> Message {
    let steps: Vec<String> = (0..STEPS)
        .map(|step| {
            let needs = match step.checked_sub(1) {
                Some(before) => format!(r#","needs":["s{before}"]"#),
                None => String::new(),
            };
            format!(r#"{{"name":"s{step}","prompt":"Step {step} of chain {number:08}."{needs}}}"#)
        })
        .collect();
    ("chain", format!(r#"{{"steps":[{}]}}"#, steps.join(",")))
}

//! The cost of recipes: jobs that a recipe answers, beside as many calls of plain jobs.

use std::time::{Duration, Instant};

use anyhow::ensure;
use longshore_protocol::id::QueueName;

use super::{
    Sizes, figure,
    machine::{ExternalSimulator, Machine, real_worker},
    median, process, progress,
    report::{Finding, Promise, Section},
    throughput::CONCURRENCY,
};
use crate::stack::{Stack, within};

/// The provider's latency.
const LATENCY: Duration = Duration::from_millis(200);

/// The calls of a job of recipe `medium`: two answers, one that is made of them, and a check.
const CALLS: usize = 4;

/// The provider says what the prompt says. So each answer is a verdict, and the check is not asked again.
const PROMPT: &str = r#"[[echo={\"verdict\": \"approve\", \"score\": 9, \"reasons\": [], \"needs_human_review\": false}]]"#;

/// The longest run.
const TIMEOUT: Duration = Duration::from_mins(10);

/// What a run took.
struct Run {
    seconds: f64,
    worker_cpu: f64,
}

pub(super) async fn measure(machine: &Machine, sizes: &Sizes) -> anyhow::Result<Section> {
    let jobs = sizes.recipes;
    let (mut recipes, mut plain) = (Vec::new(), Vec::new());
    for pair in 1..=sizes.runs {
        progress(&format!("recipes: pair {pair} of {}", sizes.runs));
        // Each is first equally often, so that other load on the machine affects both.
        for is_recipe in [pair % 2 == 0, pair % 2 == 1] {
            if is_recipe {
                recipes.push(run(machine, jobs, jobs * CALLS, recipe_job).await?);
            } else {
                plain.push(run(machine, jobs * CALLS, jobs * CALLS, plain_job).await?);
            }
        }
    }
    let pairs = recipes.iter().zip(&plain);
    let ratio = median(pairs.map(|(recipe, plain)| recipe.seconds / plain.seconds));
    let how = format!(
        "{jobs} jobs of recipe `medium`, and {} plain jobs, one after the other in {} pairs; as many calls, which are \
         counted; the provider takes {} ms, one worker (LONGSHORE_CONCURRENCY={CONCURRENCY}); from the first XADD until \
         no job is left; medians",
        jobs * CALLS,
        recipes.len(),
        LATENCY.as_millis(),
    );
    let mut section = Section::new(
        "recipes",
        "jobs of recipes, over as many calls of plain jobs",
        how,
    )
    .finding(Finding::new(
        "wall",
        (ratio, "x"),
        Promise::AtMost,
        1.1,
        1.0,
    ));
    for (job, runs) in [("recipes", recipes), ("plain jobs", plain)] {
        let each = |value: f64| value * 1e6 / figure(jobs * CALLS);
        section = section
            .also(
                format!("wall, {job}"),
                median(runs.iter().map(|run| run.seconds)),
                "s",
            )
            .also(
                format!("processor time a call, worker, {job}"),
                each(median(runs.iter().map(|run| run.worker_cpu))),
                "µs",
            );
    }
    Ok(section)
}

/// Runs these jobs on a new stack, and counts their calls.
async fn run(
    machine: &Machine,
    jobs: usize,
    calls: usize,
    message: fn() -> String,
) -> anyhow::Result<Run> {
    let stack = machine.stack(CONCURRENCY).await?;
    let simulator = ExternalSimulator::start(&stack, LATENCY).await?;
    let worker = real_worker(&stack, &simulator).await?;
    let messages = vec![message(); jobs];
    let before = process::cpu(worker.pid())?;
    let began = Instant::now();
    stack.enqueue(&messages).await?;
    within(TIMEOUT, "no job is left", || no_job_is_left(&stack)).await?;
    let seconds = began.elapsed().as_secs_f64();
    let worker_cpu = process::cpu(worker.pid())?.saturating_sub(before);
    let stats = simulator.stats().await?;
    let expected = u64::try_from(calls)?;
    ensure!(
        stats.requests == expected && stats.answered() == expected,
        "{calls} calls, but the simulator saw {stats:?}"
    );
    Ok(Run {
        seconds,
        worker_cpu: worker_cpu.as_secs_f64(),
    })
}

/// A job of a recipe is parked while its steps are in the queue.
async fn no_job_is_left(stack: &Stack) -> anyhow::Result<()> {
    let keys = stack.broker.keys();
    let queue = keys.queue(&QueueName::default());
    let released = format!("{}:queue:~default", keys.prefix());
    let parked = format!("{}:parked", keys.prefix());
    let mut connection = stack.connection().await?;
    let left: [usize; 3] = redis::pipe()
        .atomic()
        .cmd("XLEN")
        .arg(&queue)
        .cmd("XLEN")
        .arg(&released)
        .cmd("HLEN")
        .arg(&parked)
        .query_async(&mut connection)
        .await?;
    ensure!(left == [0, 0, 0], "queued, released and parked: {left:?}");
    Ok(())
}

fn recipe_job() -> String {
    format!(r#"{{"recipe":"medium","prompt":"{PROMPT}"}}"#)
}

fn plain_job() -> String {
    format!(r#"{{"prompt":"{PROMPT}"}}"#)
}

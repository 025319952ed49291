//! N2 and N7: calls over HTTP that wait.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use super::{
    Sizes,
    client::{prompt, run_client},
    drain::Watch,
    machine::{ExternalSimulator, Machine, real_worker},
    median, message, process, progress,
    report::{Finding, Promise, Section},
};

/// The provider's latency in N2.
const LATENCY: Duration = Duration::from_secs(1);

/// The size of large prompts and answers.
const LARGE: usize = 20_000;

struct Wall {
    bare: f64,
    bare_mib: f64,
    ours: f64,
    ours_mib: f64,
    worker_cpu: f64,
    simulator_cpu: f64,
}

pub(super) async fn measure_wall(machine: &Machine, sizes: &Sizes) -> anyhow::Result<Section> {
    let calls = sizes.calls;
    let (mut walls, mut large) = (Vec::new(), Vec::new());
    for run in 1..=sizes.runs {
        progress(&format!("N2: run {run} of {}", sizes.runs));
        walls.push(wall(machine, calls, None).await?);
        large.push(wall(machine, calls, Some(LARGE)).await?);
    }
    let of = |value: fn(&Wall) -> f64| median(walls.iter().map(value));
    let of_large = |value: fn(&Wall) -> f64| median(large.iter().map(value));
    let how = format!(
        "{calls} jobs into a ready, idle worker (LONGSHORE_CONCURRENCY={calls}), from the first XADD to the last \
         result; the provider takes {} s; each run just after the bare client's; median of runs: {}",
        LATENCY.as_secs(),
        sizes.runs
    );
    Ok(
        Section::new("N2", "jobs that wait on HTTP, one worker", how)
            .finding(Finding::new(
                "wall, over the bare client's",
                (of(|wall| wall.ours / wall.bare), "x"),
                Promise::AtMost,
                1.15,
                1.05,
            ))
            .finding(Finding::new(
                "memory, over the bare client's",
                (of(|wall| wall.ours_mib / wall.bare_mib), "x"),
                Promise::AtMost,
                1.5,
                1.15,
            ))
            .finding(Finding::new(
                "worker memory, peak",
                (of(|wall| wall.ours_mib), "MiB"),
                Promise::AtMost,
                200.0,
                150.0,
            ))
            .raw("bare client (reqwest), wall", of(|wall| wall.bare), "s")
            .raw(
                "bare client (reqwest), memory",
                of(|wall| wall.bare_mib),
                "MiB",
            )
            .also("wall", of(|wall| wall.ours), "s")
            .also(
                "wall, over the bare client's, 20 kB each way",
                of_large(|wall| wall.ours / wall.bare),
                "x",
            )
            .also(
                "memory, over the bare client's, 20 kB each way",
                of_large(|wall| wall.ours_mib / wall.bare_mib),
                "x",
            )
            .also("processor time, worker", of(|wall| wall.worker_cpu), "s")
            .also(
                "processor time, simulator",
                of(|wall| wall.simulator_cpu),
                "s",
            ),
    )
}

/// The calls of jobs, or those of large ones.
async fn wall(machine: &Machine, calls: usize, size: Option<usize>) -> anyhow::Result<Wall> {
    let stack = machine.stack(calls).await?;
    let simulator = ExternalSimulator::start(&stack, LATENCY).await?;
    let bare = run_client(&stack, &simulator, calls, size).await?;
    simulator.reset().await?;
    let mut worker = real_worker(&stack, &simulator).await?;
    let mut watch = Watch::new(&stack).await?;
    let message = |number| match size {
        None => message(number),
        Some(size) => format!(r#"{{"prompt":"{}"}}"#, prompt(number, Some(size))),
    };
    let messages: Vec<String> = (0..calls).map(message).collect();
    let before = (process::cpu(worker.pid())?, simulator.cpu()?);
    let began = Instant::now();
    stack.enqueue(&messages).await?;
    let ended = watch
        .until(&mut worker, |sample| sample.queued == 0)
        .await?;
    let wall = Wall {
        bare: bare.seconds,
        bare_mib: bare.peak_mib,
        ours: (ended - began).as_secs_f64(),
        ours_mib: process::peak_mib(worker.pid())?,
        worker_cpu: process::cpu(worker.pid())?
            .saturating_sub(before.0)
            .as_secs_f64(),
        simulator_cpu: simulator.cpu()?.saturating_sub(before.1).as_secs_f64(),
    };
    expect_calls(&simulator, calls).await?;
    Ok(wall)
}

/// Repeated or rejected calls would make the measurement invalid.
async fn expect_calls(simulator: &ExternalSimulator, calls: usize) -> anyhow::Result<()> {
    let stats = simulator.stats().await?;
    let answered = stats.answered();
    let expected = u64::try_from(calls)?;
    ensure!(
        stats.requests == expected && answered == expected,
        "{calls} calls, but the simulator saw {stats:?}"
    );
    Ok(())
}

pub(super) async fn measure_memory(machine: &Machine, sizes: &Sizes) -> anyhow::Result<Section> {
    let calls = sizes.in_flight;
    progress(&format!(
        "N7: {calls} calls of {:?} at once, twice",
        sizes.held
    ));
    let stack = machine.stack(calls).await?;
    let simulator = ExternalSimulator::start(&stack, sizes.held).await?;
    let bare = run_client(&stack, &simulator, calls, None).await?;
    simulator.reset().await?;
    let mut worker = real_worker(&stack, &simulator).await?;
    let mut watch = Watch::new(&stack).await?;
    let idle = process::peak_mib(worker.pid())?;
    let messages: Vec<String> = (0..calls).map(message).collect();
    let began = Instant::now();
    stack.enqueue(&messages).await?;
    while simulator.stats().await?.in_flight < u64::try_from(calls)? {
        if began.elapsed() > sizes.held {
            bail!(
                "not all calls were in flight before the first ended: {:?}",
                simulator.stats().await?
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let begun = began.elapsed();
    let in_flight = process::peak_mib(worker.pid())?;
    watch
        .until(&mut worker, |sample| sample.queued == 0)
        .await?;
    let at_end = process::peak_mib(worker.pid())?;
    expect_calls(&simulator, calls).await?;
    tokio::time::sleep(sizes.given_back).await;
    let later = process::resident_mib(worker.pid())?;

    let how = format!(
        "{calls} jobs whose provider takes {} s, one worker (LONGSHORE_CONCURRENCY={calls}); its peak of resident \
         memory when the last call was under way, and what it has {} s after the last job was settled",
        sizes.held.as_secs(),
        sizes.given_back.as_secs()
    );
    Ok(Section::new("N7", "calls in flight in one worker", how)
        .finding(Finding::new(
            "worker memory, peak",
            (in_flight, "MiB"),
            Promise::AtMost,
            350.0,
            200.0,
        ))
        .finding(Finding::new(
            "memory, over the bare client's",
            (in_flight / bare.peak_mib, "x"),
            Promise::AtMost,
            1.5,
            1.15,
        ))
        .finding(Finding::new(
            "of what the calls took, still held later",
            ((later - idle).max(0.0) / (at_end - idle).max(1.0), "x"),
            Promise::AtMost,
            0.5,
            0.15,
        ))
        .raw("bare client (reqwest), memory", bare.peak_mib, "MiB")
        .also("worker memory when idle", idle, "MiB")
        .also("worker memory later", later, "MiB")
        .also("worker memory, peak, after all were settled", at_end, "MiB")
        .also(
            "from the first XADD until all were in flight",
            begun.as_secs_f64(),
            "s",
        ))
}

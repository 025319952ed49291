//! N6: a filtered replay out of many dead letters.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{
    Sizes, figure,
    machine::Machine,
    median, progress, rate,
    report::{Finding, Promise, Section},
    throughput::CONCURRENCY,
};
use crate::{dead_letters, stack::Stack};

/// The times of the commands.
struct Times {
    list: Duration,
    filter: Duration,
    replay: Duration,
}

pub(super) async fn measure(machine: &Machine, sizes: &Sizes) -> anyhow::Result<Section> {
    let mut runs = Vec::new();
    for run in 1..=sizes.runs {
        progress(&format!(
            "N6: {} dead letters, run {run} of {}",
            sizes.dead_letters, sizes.runs
        ));
        let stack = machine.stack(CONCURRENCY).await?;
        runs.push(once(&stack, sizes.dead_letters).await?);
    }
    let replayed = sizes.dead_letters / 2;
    let replay = median(runs.iter().map(|run| rate(replayed, run.replay)));
    let ms = |time: fn(&Times) -> Duration| {
        median(runs.iter().map(|run| time(run).as_secs_f64() * 1000.0))
    };
    Ok(Section::new(
        "N6",
        "a filtered replay out of many dead letters",
        format!(
            "`longshore dlq replay --all --type research --yes`, half of {} dead letters; median of {} runs",
            sizes.dead_letters, sizes.runs
        ),
    )
    .finding(Finding::new(
        "dead letters replayed a second",
        (replay, "/s"),
        Promise::AtLeast,
        10_000.0,
        40_000.0,
    ))
    .finding(Finding::new(
        "`dlq list`, the first page",
        (ms(|run| run.list), "ms"),
        Promise::AtMost,
        50.0,
        50.0,
    ))
    .finding(Finding::new(
        "`dlq list` with a filter that none matches",
        (ms(|run| run.filter), "ms"),
        Promise::AtMost,
        1000.0,
        100.0,
    ))
    .also("dead letters replayed", figure(replayed), ""))
}

async fn once(stack: &Stack, count: usize) -> anyhow::Result<Times> {
    dead_letters::write(&stack.broker, &mut stack.connection().await?, count).await?;
    let list = timed(stack, &["dlq", "list"]).await?;
    let filter = timed(stack, &["dlq", "list", "--type", "review"]).await?;
    let replay = ["dlq", "replay", "--all", "--type", "research", "--yes"];
    let replay = timed(stack, &replay).await?;
    let left = stack.broker.dead_letters().count().await?;
    ensure!(
        left == (count - count / 2) as u64,
        "{left} dead letters are left"
    );
    Ok(Times {
        list,
        filter,
        replay,
    })
}

async fn timed(stack: &Stack, arguments: &[&str]) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let ran = stack.longshore(arguments).await?;
    let took = began.elapsed();
    ensure!(ran.code == Some(0), "{arguments:?}: {}", ran.stderr);
    Ok(took)
}

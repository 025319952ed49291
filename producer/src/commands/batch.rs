//! `longshore batch`: many tasks out of a file, and their answers.

mod bar;
mod collect;
pub(super) mod forecast;
pub(super) mod input;
mod place;
mod plan;
mod report;

use std::{path::PathBuf, time::Instant};

use clap::Args;
use longshore::{Client, Job, Receipt};
use serde_json::json;

use self::{collect::Collector, plan::Plan, report::Report};
use super::submit::{money::dollars, queue, save::OutputFile};
use crate::{
    commands::words,
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Tasks that go in together, all or none.
const TOGETHER: usize = 10_000;

/// And so many bytes of them: a transaction stands in Redis's memory twice until it is done.
const TOGETHER_BYTES: usize = 64 << 20;

/// Options of `batch`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// JSON file with a list of tasks; `-` reads stdin
    #[arg(
        value_name = "INPUT",
        required_unless_present = "input",
        conflicts_with = "input"
    )]
    file: Option<PathBuf>,
    /// The same, as an option
    #[arg(long, short, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Write the results as JSON to this file, or to a new file in this folder
    #[arg(long, short, value_name = "FILE|DIR/", conflicts_with = "detach")]
    output: Option<PathBuf>,
    /// The most tasks at work at once, whatever the number of workers
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    parallel: u32,
    /// Try other platforms when one fails
    #[arg(long)]
    fallback: bool,
    /// The queue
    #[arg(long, value_name = "NAME", default_value = longshore_shared::id::DEFAULT_QUEUE)]
    queue: String,
    /// The chain that the cost belongs to [default: one of the batch's own]
    #[arg(long, value_name = "ID")]
    chain_id: Option<String>,
    /// Do not wait for the answers
    #[arg(long)]
    detach: bool,
    /// Do not ask, even if the batch would use up most of a quota or budget
    #[arg(long, short)]
    yes: bool,
    /// Text for people, JSON for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    // Nothing is put in before all of it is known to be right.
    let limits = session.config.limits;
    let queue = queue(&arguments.queue)?;
    let source = input::Source::of(arguments.input.or(arguments.file));
    let tasks = source.tasks(&limits, &session.config.catalog)?;
    let plan = Plan::of(
        tasks,
        arguments.chain_id,
        arguments.parallel,
        arguments.fallback,
    );
    plan.check(&limits)?;
    let file = arguments
        .output
        .map(|path| OutputFile::open(&place::resolved(path)))
        .transpose()?;

    let broker = session.broker().await?;
    if !forecast::allows(&plan.jobs, arguments.yes, session, &broker).await? {
        output::note("Nothing was put in.");
        return Ok(Done::Failure);
    }
    let client = Client::new(broker).queue(queue.clone()).limits(limits);
    let loaded = format!(
        "Loaded {} from {source}",
        words::many(plan.jobs.len(), "task")
    );
    match arguments.format {
        Format::Text => output::line(loaded),
        Format::Json => output::note(loaded),
    }
    let began = Instant::now();
    let receipts = put_in(&client, &plan).await?;
    if arguments.detach {
        tell_receipts(&plan, &receipts, arguments.format);
        return Ok(Done::Success);
    }
    output::note(format_args!("Chain: {}", plan.chain));
    let mut collector = Collector::new(&client, &queue, &receipts);
    let finished = tokio::select! {
        done = collector.run() => done.map(|()| true),
        // If it cannot be heard, the program simply ends with it.
        Ok(()) = tokio::signal::ctrl_c() => Ok(false),
    };
    collector.clear();
    if !finished? {
        let tally = collector.tally();
        output::note(format_args!(
            "Stopped waiting: {} of {} done, {} spent. The rest goes on without you; the cost of all: \
             `longshore costs --chain-id {}`",
            tally.done,
            words::many(receipts.len(), "task"),
            dollars(tally.cost),
            plan.chain,
        ));
        return Ok(Done::Interrupted);
    }
    let report = Report::of(plan.chain, collector.into_results(), began.elapsed());
    finish(&report, file, arguments.format)
}

fn finish(report: &Report, file: Option<OutputFile>, format: Format) -> Result<Done, CommandError> {
    let saved = file.as_ref().map(|file| file.path().to_owned());
    if let Some(file) = file {
        file.write(report)?;
    }
    match format {
        Format::Text => output::line(report.text(saved.as_deref())),
        Format::Json => {
            output::json(report);
            if let Some(saved) = saved {
                output::note(format_args!("Results saved to: {}", saved.display()));
            }
        }
    }
    Ok(if report.failed() == 0 {
        Done::Success
    } else {
        Done::Failure
    })
}

/// Puts the tasks in: together, or in as few transactions as their number allows.
async fn put_in(client: &Client, plan: &Plan) -> Result<Vec<Receipt>, CommandError> {
    let parts = parts(&plan.jobs, TOGETHER, TOGETHER_BYTES);
    if parts.len() > 1 {
        output::note(format_args!(
            "{} are put in in {} steps, each all or nothing.",
            words::many(plan.jobs.len(), "task"),
            parts.len()
        ));
    }
    let mut receipts = Vec::with_capacity(plan.jobs.len());
    for part in parts {
        match client.submit_all(part).await {
            Ok(more) => receipts.extend(more),
            Err(error) => {
                if !receipts.is_empty() {
                    output::note(format_args!(
                        "The first {} are in and will run (chain {}); the others are not.",
                        words::many(receipts.len(), "task"),
                        plan.chain
                    ));
                }
                return Err(error.into());
            }
        }
    }
    Ok(receipts)
}

/// The jobs in parts of at most `count` and, but for a part of one, `bytes`.
fn parts(jobs: &[Job], count: usize, bytes: usize) -> Vec<&[Job]> {
    let mut parts = Vec::new();
    let mut rest = jobs;
    while !rest.is_empty() {
        let mut size = 0;
        let fitting = rest
            .iter()
            .take(count)
            .take_while(|job| {
                size += job.to_json().len();
                size <= bytes
            })
            .count()
            .max(1);
        let (part, others) = rest.split_at(fitting);
        parts.push(part);
        rest = others;
    }
    parts
}

fn tell_receipts(plan: &Plan, receipts: &[Receipt], format: Format) {
    let chain = &plan.chain;
    match format {
        Format::Text => output::line(format_args!(
            "Chain: {chain}\n\nThe tasks run without you. Their state: `longshore jobs list`; their cost: `longshore \
             costs --chain-id {chain}`"
        )),
        Format::Json => {
            let ids: Vec<_> = receipts.iter().map(|receipt| &receipt.id).collect();
            output::json(
                &json!({"chain_id": chain, "total_tasks": receipts.len(), "task_ids": ids}),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_large_as_they_may_be() {
        let jobs: Vec<Job> = ["a", "b", "cccccccccccccccccccc", "d", "e"]
            .map(Job::prompt)
            .into();
        let sizes = |count, bytes| -> Vec<usize> {
            parts(&jobs, count, bytes)
                .iter()
                .map(|part| part.len())
                .collect()
        };
        assert_eq!(sizes(10, 1000), [5]);
        assert_eq!(sizes(2, 1000), [2, 2, 1]);
        // A task that is larger than a part is a part of its own.
        assert_eq!(sizes(10, 30), [2, 1, 2]);
        assert!(parts(&[], 1, 1).is_empty());
    }
}

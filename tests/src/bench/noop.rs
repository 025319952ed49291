//! A worker whose provider answers at once: all of Longshore, and nothing of HTTP.

use std::{fs::File, io::Write as _, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use futures::future::BoxFuture;
use longshore_protocol::call::{
    Answer, Call, CallError, ErrorClass, FinishReason, ReportedLimits, Usage,
};
use longshore_service::{startup::Service, traces::Traces};
use longshore_worker::{Policies, Policy, Registry, Worker, provider::Provider};

use super::journal::{self, nanoseconds};

/// What is before a job's number in a prompt, and between it and the time of enqueueing.
const NUMBER: &str = "Job ";
const ENQUEUED: &str = " enqueued at ";

/// Options of the no-op worker.
#[derive(Debug, clap::Args)]
pub struct NoopOptions {
    /// The file for a line for each call of a stamped job.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

/// A job that contains its number and its enqueueing time, now.
pub(super) fn stamped_message(number: usize) -> String {
    format!(
        r#"{{"type":"research","prompt":"Name three primary colours, please. {NUMBER}{number}{ENQUEUED}{}"}}"#,
        nanoseconds()
    )
}

/// Answers at once.
struct Noop {
    journal: Option<File>,
}

/// Writes a line for the call of a stamped job.
fn note(call: &Call, mut journal: &File) -> Result<(), CallError> {
    let stamp = call.messages.last().and_then(|message| {
        let text = message.text();
        let (_, stamp) = text.rsplit_once(NUMBER)?;
        let (number, enqueued) = stamp.split_once(ENQUEUED)?;
        Some((number.parse::<usize>().ok()?, enqueued.parse::<u64>().ok()?))
    });
    let Some((number, enqueued)) = stamp else {
        return Ok(());
    };
    let line = journal::line(number, enqueued, nanoseconds());
    let written = journal.write_all(line.as_bytes());
    written.map_err(|error| CallError::new(ErrorClass::Internal, error.to_string()))
}

impl Provider for Noop {
    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, CallError>> {
        let noted = self
            .journal
            .as_ref()
            .map_or(Ok(()), |journal| note(call, journal));
        Box::pin(async {
            noted?;
            Ok(Answer {
                output: "Red, yellow and blue.".to_owned(),
                tool_calls: Vec::new(),
                logprobs: None,
                finish_reason: FinishReason::Stop,
                usage: Usage {
                    input: 20,
                    output: 6,
                    ..Usage::default()
                },
                model: None,
                response_id: None,
                reported_cost: None,
                room: ReportedLimits::default(),
            })
        })
    }
}

/// Runs the worker until SIGTERM, with the setup of `longshore-worker`.
pub async fn noop_worker(options: NoopOptions) -> anyhow::Result<()> {
    let Some(service) = Service::start("worker", None, 4).await? else {
        return Ok(());
    };
    let journal = options.journal.as_deref().map(journal::open).transpose();
    let provider: Arc<dyn Provider> = Arc::new(Noop {
        journal: journal.context("the journal")?,
    });
    let providers = Registry::with(&service.config.catalog, &provider);
    let policy = Policy::new(service.config.clone(), providers);
    let worker = Worker::new(
        Policies::fixed(policy),
        service.broker.clone(),
        Some(service.ledger.clone()),
        service.health.clone(),
        Traces::default(),
    )
    .await?;
    worker
        .run(service.stop.clone(), service.stop_now.clone())
        .await?;
    Ok(())
}

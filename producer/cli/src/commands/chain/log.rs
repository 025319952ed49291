//! `longshore chain log`: the whole history of a chain, step by step, as a document to keep or to send.

mod markdown;

use longshore_client::{ChainId, ChainOutcome, Client, JobId, Location, StepName, StepState};
use longshore_ledger::{ChainJobFilter, JobHistory, Ledger, LedgerError};
use longshore_protocol::clock::local_time;
use serde::Serialize;

use self::markdown::chain_section;
use super::{
    read_chain,
    reader::{ChainReader, ChainStatus},
    report::{Report, read_outcome},
};
use crate::{
    commands::jobs::{JobDetails, LogDocument, enqueued_at, find_details},
    error::{CommandError, Exit},
    output::LogFormat,
    session::Session,
};

/// Jobs that are read from Postgres at once.
const PAGE: u32 = 500;

/// Unfinished jobs that are searched for in Redis; each search reads queues.
const SEARCHED: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Chain id
    #[arg(value_name = "ID", value_parser = ChainId::parse_any)]
    id: ChainId,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: LogFormat,
}

/// A chain with all that is known of its jobs.
struct ChainLog {
    chain: ChainStatus,
    outcome: ChainOutcome,
    jobs: Vec<JobOfStep>,
    /// Why Postgres gave no answer.
    record_error: Option<String>,
}

/// A job, and the step that it runs or an item of which it runs; `None` for a job that belongs to no step.
struct JobOfStep {
    step: Option<StepName>,
    details: JobDetails,
}

/// A chain as `chain show` has it, with its jobs as `jobs log` has them.
#[derive(Debug, Serialize)]
struct LogOfChain<'a> {
    #[serde(flatten)]
    report: Report<'a>,
    jobs: Vec<LogDocument<'a>>,
    record_error: Option<&'a str>,
}

impl ChainLog {
    fn document(&self) -> LogOfChain<'_> {
        let jobs = self.jobs.iter().map(|job| LogDocument::new(&job.details));
        LogOfChain {
            report: Report::new(&self.chain, &self.outcome),
            jobs: jobs.collect(),
            record_error: self.record_error.as_deref(),
        }
    }
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let client = session.client().await?;
    let mut reader = ChainReader::new(client, session, arguments.id).await;
    let Some(chain) = read_chain(&mut reader).await? else {
        return Ok(Exit::Failure);
    };
    let now = local_time();
    let log = ChainLog {
        outcome: read_outcome(&chain, reader.client(), now).await?,
        jobs: read_jobs(&reader, &chain, session).await?,
        record_error: reader.ledger_error().map(str::to_owned),
        chain,
    };
    arguments
        .format
        .print_with(&log.document(), || chain_section(&log, now));
    Ok(Exit::Success)
}

/// The jobs of the chain that Postgres has, and those of running steps.
async fn read_jobs(
    reader: &ChainReader,
    chain: &ChainStatus,
    session: &Session,
) -> Result<Vec<JobOfStep>, CommandError> {
    let mut jobs = match reader.ledger() {
        Some(ledger) => recorded_jobs(ledger, reader.id()).await?,
        None => Vec::new(),
    };
    for step in &chain.steps {
        let is_known = jobs.iter().any(|job| job.step.as_ref() == Some(&step.name));
        if step.state != StepState::Running || step.items.is_some() || is_known {
            continue;
        }
        if let Ok(id) = JobId::parse(&format!("{}/{}", reader.id(), step.name)) {
            let details = find_details(id, reader.client(), session).await?;
            if !matches!(details.now, Location::Nowhere { .. }) {
                jobs.push(JobOfStep {
                    step: Some(step.name.clone()),
                    details,
                });
            }
        }
    }
    find_unfinished(&mut jobs, reader.client(), session).await?;
    jobs.sort_by_key(|job| (enqueued_at(&job.details), job.details.id.clone()));
    Ok(jobs)
}

async fn recorded_jobs(ledger: &Ledger, chain: &ChainId) -> Result<Vec<JobOfStep>, LedgerError> {
    let mut jobs: Vec<JobOfStep> = Vec::new();
    loop {
        let page = ChainJobFilter {
            after: jobs.last().map(|job| job.details.id.clone()),
            limit: Some(PAGE),
            ..ChainJobFilter::default()
        };
        let histories = ledger.chain_histories(chain.as_str(), &page).await?;
        let is_last = histories.len() < PAGE as usize;
        jobs.extend(histories.into_iter().map(recorded_job));
        if is_last {
            return Ok(jobs);
        }
    }
}

fn recorded_job(history: JobHistory) -> JobOfStep {
    let job = &history.row.job;
    let step = job.labels.step.as_deref();
    let name = step.and_then(|step| StepName::parse(step.split('/').next()?).ok());
    let (now, why) = if job.state.is_final() {
        (Location::Ended, format!("not waiting: {}", job.state))
    } else {
        let why = "unfinished as of the newest event in Postgres".to_owned();
        (Location::Nowhere { complete: false }, why)
    };
    JobOfStep {
        step: name,
        details: JobDetails {
            id: job.labels.job_id.clone(),
            now,
            why,
            outcome: None,
            record: Some(history),
            record_error: None,
            found: None,
            envelope: None,
        },
    }
}

/// Adds what Redis knows of the first unfinished jobs.
async fn find_unfinished(
    jobs: &mut [JobOfStep],
    client: &Client,
    session: &Session,
) -> Result<(), CommandError> {
    let unfinished = jobs
        .iter_mut()
        .filter(|job| matches!(job.details.now, Location::Nowhere { .. }));
    for job in unfinished.take(SEARCHED) {
        let id = job.details.id.clone();
        job.details = find_details(id, client, session).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use longshore_client::ChainState;

    use super::*;
    use crate::commands::{
        chain::{reader::Conditions, report::recorded_outcome, tree::tests::example_chain},
        jobs::example_job,
    };

    #[test]
    fn the_log_of_a_chain_has_its_steps_with_their_jobs() {
        let mut chain = example_chain(ChainState::Failed);
        chain.steps.truncate(3);
        if let Some(step) = chain.steps.get_mut(1) {
            step.conditions = Conditions {
                when: Some("steps.research.output != '`'".to_owned()),
                foreach: Some("steps.research.json".to_owned()),
                ..Conditions::default()
            };
        }
        let now: DateTime<Utc> = chain.begun();
        let first = chain.steps.first().unwrap().name.clone();
        let jobs = [
            (Some(first), "report-7/research", Some("research")),
            (None, "extra", None),
        ];
        let jobs = jobs.map(|(step, id, label)| JobOfStep {
            step,
            details: example_job(id, label),
        });
        let log = ChainLog {
            outcome: recorded_outcome(&chain, now),
            jobs: jobs.into(),
            record_error: None,
            chain,
        };
        insta::assert_snapshot!(chain_section(&log, now));
    }
}

//! `longshore jobs cancel --all`: cancels every job that has not ended and matches the filters.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use longshore_broker::{Broker, BrokerError};
use longshore_client::{JobId, QueueName, without_marks};
use longshore_protocol::{
    chain::StepRef,
    envelope::{Envelope, MessageLimits, RawMessage, parse},
    id::EntryId,
};
use serde::Serialize;

use crate::{
    confirm::{self, Consent},
    error::{CommandError, Exit},
    options::LabelFilter,
    output::Format,
    render::text::{counted, grouped},
    session::Session,
};

/// Entries read by one command.
const PAGE: usize = 200;

/// Jobs shown by a dry run.
const SHOWN: usize = 10;

/// Requests in flight at once.
const CONCURRENT_REQUESTS: usize = 32;

#[derive(Debug, Serialize)]
struct Answer {
    found: usize,
    #[serde(rename = "asked")]
    requested: usize,
    ended: usize,
    dry_run: bool,
}

/// Jobs by id, each with the entry that it was parked from.
type Jobs = BTreeMap<JobId, Option<EntryId>>;

pub(super) async fn run(
    filter: &LabelFilter,
    consent: Consent,
    format: Format,
    broker: &Broker,
    session: &Session,
) -> Result<Exit, CommandError> {
    let jobs = find_jobs(broker, filter, &session.config.limits).await?;
    let mut answer = Answer {
        found: jobs.len(),
        requested: 0,
        ended: 0,
        dry_run: consent.dry_run,
    };
    if consent.dry_run {
        format.print_with(&answer, || describe_dry_run(&jobs));
        return Ok(Exit::Success);
    }
    if !consent.yes && !jobs.is_empty() && !confirm::ask(&question(jobs.len()))? {
        return Ok(Exit::Failure);
    }
    let requested: Vec<bool> = stream::iter(&jobs)
        .map(|(id, parked)| broker.jobs().cancel(id, parked.as_ref()))
        .buffer_unordered(CONCURRENT_REQUESTS)
        .try_collect()
        .await?;
    answer.requested = requested.iter().filter(|requested| **requested).count();
    answer.ended = requested.len() - answer.requested;
    format.print_with(&answer, || describe_answer(&answer));
    Ok(Exit::Success)
}

/// The jobs that match. A job may move during the search, from its queue into a lane or from a lane into the
/// ready stream, so the ready streams are read again at the end.
async fn find_jobs(
    broker: &Broker,
    filter: &LabelFilter,
    limits: &MessageLimits,
) -> Result<Jobs, BrokerError> {
    let mut jobs = Jobs::new();
    let streams: Vec<QueueName> = match &filter.queue {
        Some(queue) => vec![queue.ready(), queue.clone()],
        None => broker.queues().streams().await?,
    };
    for stream in &streams {
        find_in_stream(broker, stream, filter, limits, &mut jobs).await?;
    }
    find_in_lanes(broker, filter, limits, &mut jobs).await?;
    for stream in streams.iter().filter(|stream| stream.is_ready()) {
        find_in_stream(broker, stream, filter, limits, &mut jobs).await?;
    }
    Ok(jobs)
}

async fn find_in_stream(
    broker: &Broker,
    stream: &QueueName,
    filter: &LabelFilter,
    limits: &MessageLimits,
    jobs: &mut Jobs,
) -> Result<(), BrokerError> {
    // Jobs that arrive later are not cancelled.
    let to = broker.server().time_ms().await?.to_string();
    let mut from = "-".to_owned();
    loop {
        let page = broker
            .queues()
            .entries(stream, &from, &to, PAGE, false)
            .await?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        from = format!("({last}");
        let entry_ids: Vec<EntryId> = page
            .iter()
            .map(|(entry, _)| EntryId::new(stream, entry))
            .collect();
        let checkpoints = broker.jobs().checkpoints(&entry_ids).await?;
        for (((_, message), entry_id), checkpoint) in
            page.into_iter().zip(entry_ids).zip(checkpoints)
        {
            let (known, step) = checkpoint.map_or_else(
                || (JobId::from_entry(&entry_id), None),
                |checkpoint| (checkpoint.id, checkpoint.step),
            );
            if let Some(id) = matching_id(
                &without_marks(message),
                known,
                step.as_deref(),
                filter,
                limits,
            ) {
                jobs.entry(id).or_default();
            }
        }
    }
}

async fn find_in_lanes(
    broker: &Broker,
    filter: &LabelFilter,
    limits: &MessageLimits,
    jobs: &mut Jobs,
) -> Result<(), BrokerError> {
    let mut cursor = 0;
    loop {
        let (next, entry_ids) = broker.lanes().parked_page(cursor).await?;
        for entry_id in entry_ids {
            let Some(parked) = broker.lanes().parked_entry(&entry_id).await? else {
                continue;
            };
            if filter
                .queue
                .as_ref()
                .is_some_and(|queue| *queue != parked.queue.base())
            {
                continue;
            }
            let (known, step) = (parked.checkpoint.id, parked.checkpoint.step);
            if let Some(id) = matching_id(&parked.message, known, step.as_deref(), filter, limits) {
                jobs.insert(id, Some(entry_id));
            }
        }
        cursor = next;
        if cursor == 0 {
            return Ok(());
        }
    }
}

/// The id of a job that matches: its own id if it has one, else `known`. A message that cannot be parsed
/// matches only a filter by queue.
fn matching_id(
    message: &RawMessage,
    known: JobId,
    step: Option<&StepRef>,
    filter: &LabelFilter,
    limits: &MessageLimits,
) -> Option<JobId> {
    match parse(message, limits) {
        Ok(parsed) if matches_filter(filter, &parsed.envelope, step) => {
            Some(parsed.envelope.id.unwrap_or(known))
        }
        Ok(_) => None,
        Err(_) => {
            let queue_only = LabelFilter {
                queue: filter.queue.clone(),
                ..LabelFilter::default()
            };
            (*filter == queue_only).then_some(known)
        }
    }
}

/// Whether a job matches. A step takes the tenant and chain id that its message lacks from its chain.
fn matches_filter(filter: &LabelFilter, envelope: &Envelope, step: Option<&StepRef>) -> bool {
    let chain = step.map(|step| step.chain.as_str());
    let tenant = step.and_then(|step| step.tenant.as_deref());
    filter.fits(
        &envelope.task_type,
        envelope.tenant.as_deref().or(tenant),
        envelope.chain_id.as_deref().or(chain),
    )
}

fn question(jobs: usize) -> String {
    format!("Cancel {}?", counted(jobs, "job"))
}

fn describe_dry_run(jobs: &Jobs) -> String {
    let colon = if jobs.is_empty() { "" } else { ":" };
    let mut lines = vec![format!(
        "{} would be cancelled{colon}",
        counted(jobs.len(), "job")
    )];
    lines.extend(jobs.keys().take(SHOWN).map(|id| format!("  {id}")));
    if jobs.len() > SHOWN {
        lines.push(format!("  … and {} more", grouped(jobs.len() - SHOWN)));
    }
    lines.join("\n")
}

fn describe_answer(answer: &Answer) -> String {
    let requested = format!(
        "cancellation requested for {}",
        counted(answer.requested, "job")
    );
    match answer.ended {
        0 => requested,
        ended => format!("{requested}; {} had already ended", grouped(ended)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(job: &str) -> RawMessage {
        RawMessage {
            fields: vec![(b"job".to_vec(), job.as_bytes().to_vec())],
        }
    }

    #[test]
    fn a_job_must_match_every_filter() {
        let entry_id = JobId::parse("1-0").unwrap();
        let matched = |filter: &LabelFilter, job: &str| {
            matching_id(
                &message(job),
                entry_id.clone(),
                None,
                filter,
                &MessageLimits::default(),
            )
            .map(|id| id.to_string())
        };
        let job = r#"{"prompt":"x","id":"inv-1","type":"research","tenant":"acme"}"#;
        let all = LabelFilter::default();
        assert_eq!(matched(&all, job).as_deref(), Some("inv-1"));
        assert_eq!(matched(&all, r#"{"prompt":"x"}"#).as_deref(), Some("1-0"));
        assert_eq!(matched(&all, "broken").as_deref(), Some("1-0"));
        let acme = LabelFilter {
            tenant: Some("acme".to_owned()),
            ..LabelFilter::default()
        };
        assert_eq!(matched(&acme, job).as_deref(), Some("inv-1"));
        assert_eq!(matched(&acme, r#"{"prompt":"x"}"#), None);
        assert_eq!(matched(&acme, "broken"), None);
        let both = LabelFilter {
            task_type: Some("testing".to_owned()),
            ..acme
        };
        assert_eq!(matched(&both, job), None);
    }

    #[test]
    fn a_step_matches_by_the_chain_and_tenant_of_its_chain() {
        let step: StepRef =
            serde_json::from_str(r#"{"chain":"weekly","name":"draft","tenant":"acme"}"#).unwrap();
        let is_match = |filter: &LabelFilter| {
            let (message, known) = (
                message(r#"{"prompt":"x"}"#),
                JobId::parse("weekly/draft").unwrap(),
            );
            matching_id(
                &message,
                known,
                Some(&step),
                filter,
                &MessageLimits::default(),
            )
            .is_some()
        };
        let filter = |chain: &str, tenant: &str| LabelFilter {
            chain_id: Some(chain.to_owned()),
            tenant: Some(tenant.to_owned()),
            ..LabelFilter::default()
        };
        assert!(is_match(&filter("weekly", "acme")));
        assert!(!is_match(&filter("daily", "acme")));
        assert!(!is_match(&filter("weekly", "other")));
    }

    #[test]
    fn a_dry_run_lists_the_first_jobs() {
        let ids = (0..12).map(|at| JobId::parse(&format!("job-{at:02}")).unwrap());
        let jobs: Jobs = ids.map(|id| (id, None)).collect();
        insta::assert_snapshot!(describe_dry_run(&jobs), @r"
        12 jobs would be cancelled:
          job-00
          job-01
          job-02
          job-03
          job-04
          job-05
          job-06
          job-07
          job-08
          job-09
          … and 2 more
        ");
        assert_eq!(describe_dry_run(&Jobs::new()), "0 jobs would be cancelled");
        assert_eq!(question(1), "Cancel 1 job?");
        let answer = Answer {
            found: 3,
            requested: 2,
            ended: 1,
            dry_run: false,
        };
        assert_eq!(
            describe_answer(&answer),
            "cancellation requested for 2 jobs; 1 had already ended"
        );
    }
}

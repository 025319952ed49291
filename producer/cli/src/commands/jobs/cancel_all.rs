//! `longshore jobs cancel --all`: all jobs that have not ended and fit.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use longshore_broker::{Broker, BrokerError};
use longshore_client::{JobId, QueueName, without_marks};
use longshore_protocol::{
    chain::StepRef,
    envelope::{Envelope, Limits, RawMessage, parse},
    id::Place,
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

/// Entries that one command reads.
const PAGE: usize = 200;

/// Jobs that a dry run shows.
const SHOWN: usize = 10;

/// Requests that are under way at once.
const AT_ONCE: usize = 32;

#[derive(Debug, Serialize)]
struct Answer {
    found: usize,
    asked: usize,
    ended: usize,
    dry_run: bool,
}

/// The jobs by their ids, with the ids that they are parked under.
type Jobs = BTreeMap<JobId, JobId>;

pub(super) async fn run(
    filter: &LabelFilter,
    consent: Consent,
    format: Format,
    broker: &Broker,
    session: &Session,
) -> Result<Exit, CommandError> {
    consent.check("longshore jobs cancel --all")?;
    let jobs = find_jobs(broker, filter, &session.config.limits).await?;
    let mut answer = Answer {
        found: jobs.len(),
        asked: 0,
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
    let asked: Vec<bool> = stream::iter(&jobs)
        .map(|(id, parked_id)| broker.jobs().cancel_parked(id, parked_id))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    answer.asked = asked.iter().filter(|asked| **asked).count();
    answer.ended = asked.len() - answer.asked;
    format.print_with(&answer, || describe_answer(&answer));
    Ok(Exit::Success)
}

/// The jobs that fit. A job may move meanwhile: from its queue into a lane, and from a lane into the ready
/// stream, which is read once more at the end.
async fn find_jobs(
    broker: &Broker,
    filter: &LabelFilter,
    limits: &Limits,
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
    limits: &Limits,
    jobs: &mut Jobs,
) -> Result<(), BrokerError> {
    // Later jobs do not fit.
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
        let entry_ids: Vec<Place> = page
            .iter()
            .map(|(entry, _)| Place::new(stream, entry))
            .collect();
        let checkpoints = broker.jobs().checkpoints(&entry_ids).await?;
        for (((_, message), entry_id), checkpoint) in
            page.into_iter().zip(entry_ids).zip(checkpoints)
        {
            let (known, step) = checkpoint.map_or_else(
                || (JobId::of_place(&entry_id), None),
                |checkpoint| (checkpoint.id, checkpoint.step),
            );
            if let Some(id) = matching_id(
                &without_marks(message),
                known,
                step.as_deref(),
                filter,
                limits,
            ) {
                jobs.insert(id.clone(), id);
            }
        }
    }
}

async fn find_in_lanes(
    broker: &Broker,
    filter: &LabelFilter,
    limits: &Limits,
    jobs: &mut Jobs,
) -> Result<(), BrokerError> {
    let mut cursor = 0;
    loop {
        let (next, ids) = broker.lanes().parked_page(cursor).await?;
        for parked_id in ids {
            let Some(waiting) = broker.lanes().parked_job(&parked_id).await? else {
                continue;
            };
            if filter
                .queue
                .as_ref()
                .is_some_and(|queue| *queue != waiting.queue.base())
            {
                continue;
            }
            let (known, step) = (waiting.resume.id, waiting.resume.step);
            if let Some(id) = matching_id(&waiting.message, known, step.as_deref(), filter, limits)
            {
                jobs.insert(id, parked_id);
            }
        }
        cursor = next;
        if cursor == 0 {
            return Ok(());
        }
    }
}

/// The id of a job that fits: its own, if it has one. A message that cannot be parsed fits no filter but the
/// queue's.
fn matching_id(
    message: &RawMessage,
    known: JobId,
    step: Option<&StepRef>,
    filter: &LabelFilter,
    limits: &Limits,
) -> Option<JobId> {
    match parse(message, limits) {
        Ok(parsed) if fits(filter, &parsed.envelope, step) => {
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

/// Whether a job fits, which may be a step: what its message does not say, its chain says.
fn fits(filter: &LabelFilter, envelope: &Envelope, step: Option<&StepRef>) -> bool {
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
    let asked = format!("{} asked to be cancelled", counted(answer.asked, "job"));
    match answer.ended {
        0 => asked,
        ended => format!("{asked}; {} had ended meanwhile", grouped(ended)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> RawMessage {
        RawMessage {
            fields: vec![(b"job".to_vec(), text.as_bytes().to_vec())],
        }
    }

    #[test]
    fn every_given_word_must_fit() {
        let place = JobId::parse("1-0").unwrap();
        let fits = |filter: &LabelFilter, text: &str| {
            matching_id(
                &message(text),
                place.clone(),
                None,
                filter,
                &Limits::default(),
            )
            .map(|id| id.to_string())
        };
        let job = r#"{"prompt":"x","id":"inv-1","type":"research","tenant":"acme"}"#;
        let all = LabelFilter::default();
        assert_eq!(fits(&all, job).as_deref(), Some("inv-1"));
        assert_eq!(fits(&all, r#"{"prompt":"x"}"#).as_deref(), Some("1-0"));
        assert_eq!(fits(&all, "broken").as_deref(), Some("1-0"));
        let acme = LabelFilter {
            tenant: Some("acme".to_owned()),
            ..LabelFilter::default()
        };
        assert_eq!(fits(&acme, job).as_deref(), Some("inv-1"));
        assert_eq!(fits(&acme, r#"{"prompt":"x"}"#), None);
        assert_eq!(fits(&acme, "broken"), None);
        let both = LabelFilter {
            task_type: Some("testing".to_owned()),
            ..acme
        };
        assert_eq!(fits(&both, job), None);
    }

    #[test]
    fn a_step_belongs_to_its_chain_and_its_tenant() {
        let step: StepRef =
            serde_json::from_str(r#"{"chain":"weekly","name":"draft","tenant":"acme"}"#).unwrap();
        let fits = |filter: &LabelFilter| {
            let (text, known) = (
                message(r#"{"prompt":"x"}"#),
                JobId::parse("weekly/draft").unwrap(),
            );
            matching_id(&text, known, Some(&step), filter, &Limits::default()).is_some()
        };
        let of = |chain: &str, tenant: &str| LabelFilter {
            chain_id: Some(chain.to_owned()),
            tenant: Some(tenant.to_owned()),
            ..LabelFilter::default()
        };
        assert!(fits(&of("weekly", "acme")));
        assert!(!fits(&of("daily", "acme")));
        assert!(!fits(&of("weekly", "other")));
    }

    #[test]
    fn what_would_be_cancelled_is_told() {
        let ids = (0..12).map(|at| JobId::parse(&format!("job-{at:02}")).unwrap());
        let jobs: Jobs = ids.map(|id| (id.clone(), id)).collect();
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
            asked: 2,
            ended: 1,
            dry_run: false,
        };
        assert_eq!(
            describe_answer(&answer),
            "2 jobs asked to be cancelled; 1 had ended meanwhile"
        );
    }
}

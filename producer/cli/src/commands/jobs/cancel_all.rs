//! `longshore jobs cancel --all`: all jobs that have not ended and fit.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use longshore_shared::{
    broker::{Broker, BrokerError},
    chain::StepRef,
    envelope::{Envelope, Limits, RawMessage, parse},
    id::{JobId, Place, QueueName},
};
use serde::Serialize;

use super::find::{PAGE, unmarked};
use crate::{
    commands::{
        ask,
        words::{count, many},
    },
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Jobs that a dry run shows.
const SHOWN: usize = 10;

/// Requests that are under way at once.
const AT_ONCE: usize = 32;

/// Which jobs: all that fit every given word.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(super) struct Filter {
    /// Of this type
    #[arg(long = "type", value_name = "TYPE")]
    task_type: Option<String>,
    /// Of this queue
    #[arg(long, value_parser = QueueName::parse)]
    queue: Option<QueueName>,
    /// Of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Of this chain
    #[arg(long)]
    chain_id: Option<String>,
}

impl Filter {
    /// Whether it lets everything pass.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a job fits, which may be a step: what its own message does not say, its chain says.
    fn fits(&self, envelope: &Envelope, step: Option<&StepRef>) -> bool {
        let same = |wanted: &Option<String>, given: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == given
        };
        let chain = step.map(|step| step.chain.as_str());
        let tenant = step.and_then(|step| step.tenant.as_deref());
        same(&self.task_type, Some(&envelope.task_type))
            && same(&self.tenant, envelope.tenant.as_deref().or(tenant))
            && same(&self.chain_id, envelope.chain_id.as_deref().or(chain))
    }
}

/// Whether to ask before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sure {
    pub(super) dry_run: bool,
    pub(super) yes: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    found: usize,
    asked: usize,
    ended: usize,
    dry_run: bool,
}

/// The jobs by their ids, with the ids that they are laid aside under.
type Jobs = BTreeMap<JobId, JobId>;

/// Finds them, asks, and asks for them to be cancelled.
pub(super) async fn run(
    filter: &Filter,
    sure: Sure,
    format: Format,
    broker: &Broker,
    session: &Session,
) -> Result<Done, CommandError> {
    if !sure.yes && !sure.dry_run && !ask::possible() {
        return Err(CommandError::Input(
            "`longshore jobs cancel --all` asks before it starts, and there is no terminal to ask at: add --yes \
             (--dry-run shows what it would take)"
                .to_owned(),
        ));
    }
    let jobs = collect(broker, filter, &session.config.limits).await?;
    let mut answer = Answer {
        found: jobs.len(),
        asked: 0,
        ended: 0,
        dry_run: sure.dry_run,
    };
    if sure.dry_run {
        match format {
            Format::Json => output::json(&answer),
            Format::Text => output::line(dry_run(&jobs)),
        }
        return Ok(Done::Success);
    }
    if !sure.yes && !jobs.is_empty() && !ask::yes(&question(jobs.len()))? {
        return Ok(Done::Failure);
    }
    let asked: Vec<bool> = stream::iter(&jobs)
        .map(|(id, aside)| broker.cancel_aside(id, aside))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    answer.asked = asked.iter().filter(|asked| **asked).count();
    answer.ended = asked.len() - answer.asked;
    match format {
        Format::Json => output::json(&answer),
        Format::Text => output::line(told(&answer)),
    }
    Ok(Done::Success)
}

/// The jobs that fit. One may move while we look: from its queue into a lane, and from a lane into the
/// stream that is read first, which is looked through once more at the end.
async fn collect(broker: &Broker, filter: &Filter, limits: &Limits) -> Result<Jobs, BrokerError> {
    let mut jobs = Jobs::new();
    let streams: Vec<QueueName> = match &filter.queue {
        Some(queue) => vec![queue.ready(), queue.clone()],
        None => broker.streams().await?,
    };
    for stream in &streams {
        of_stream(broker, stream, filter, limits, &mut jobs).await?;
    }
    of_lanes(broker, filter, limits, &mut jobs).await?;
    for stream in streams.iter().filter(|stream| stream.is_ready()) {
        of_stream(broker, stream, filter, limits, &mut jobs).await?;
    }
    Ok(jobs)
}

async fn of_stream(
    broker: &Broker,
    stream: &QueueName,
    filter: &Filter,
    limits: &Limits,
    jobs: &mut Jobs,
) -> Result<(), BrokerError> {
    // What comes from now on is not meant.
    let to = broker.server_time_ms().await?.to_string();
    let mut from = "-".to_owned();
    loop {
        let page = broker.entries(stream, &from, &to, PAGE, false).await?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        from = format!("({last}");
        let places: Vec<Place> = page
            .iter()
            .map(|(entry, _)| Place::new(stream, entry))
            .collect();
        let resumes = broker.resumes(&places).await?;
        for (((_, message), place), resume) in page.into_iter().zip(places).zip(resumes) {
            let (known, step) = resume.map_or_else(
                || (JobId::of_place(&place), None),
                |resume| (resume.id, resume.step),
            );
            if let Some(id) = fitting(&unmarked(message), known, step.as_deref(), filter, limits) {
                jobs.insert(id.clone(), id);
            }
        }
    }
}

async fn of_lanes(
    broker: &Broker,
    filter: &Filter,
    limits: &Limits,
    jobs: &mut Jobs,
) -> Result<(), BrokerError> {
    let mut cursor = 0;
    loop {
        let (next, ids) = broker.laid_aside_page(cursor).await?;
        for aside in ids {
            let Some(waiting) = broker.waiting(&aside).await? else {
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
            if let Some(id) = fitting(&waiting.message, known, step.as_deref(), filter, limits) {
                jobs.insert(id, aside);
            }
        }
        cursor = next;
        if cursor == 0 {
            return Ok(());
        }
    }
}

/// The id of a job that fits: its own, once it has one. What cannot be read fits no filter but the queue's.
fn fitting(
    message: &RawMessage,
    known: JobId,
    step: Option<&StepRef>,
    filter: &Filter,
    limits: &Limits,
) -> Option<JobId> {
    match parse(message, limits) {
        Ok(parsed) if filter.fits(&parsed.envelope, step) => {
            Some(parsed.envelope.id.unwrap_or(known))
        }
        Ok(_) => None,
        Err(_) => {
            let any = Filter {
                queue: filter.queue.clone(),
                ..Filter::default()
            };
            (*filter == any).then_some(known)
        }
    }
}

fn question(jobs: usize) -> String {
    format!("Cancel {}?", many(jobs, "job"))
}

fn dry_run(jobs: &Jobs) -> String {
    let colon = if jobs.is_empty() { "" } else { ":" };
    let mut lines = vec![format!(
        "{} would be cancelled{colon}",
        many(jobs.len(), "job")
    )];
    lines.extend(jobs.keys().take(SHOWN).map(|id| format!("  {id}")));
    if jobs.len() > SHOWN {
        lines.push(format!("  … and {} more", count(jobs.len() - SHOWN)));
    }
    lines.join("\n")
}

fn told(answer: &Answer) -> String {
    let asked = format!("{} asked to be cancelled", many(answer.asked, "job"));
    match answer.ended {
        0 => asked,
        ended => format!("{asked}; {} had ended meanwhile", count(ended)),
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
        let fits = |filter: &Filter, text: &str| {
            fitting(
                &message(text),
                place.clone(),
                None,
                filter,
                &Limits::default(),
            )
            .map(|id| id.to_string())
        };
        let job = r#"{"prompt":"x","id":"inv-1","type":"research","tenant":"acme"}"#;
        let all = Filter::default();
        assert_eq!(fits(&all, job).as_deref(), Some("inv-1"));
        assert_eq!(fits(&all, r#"{"prompt":"x"}"#).as_deref(), Some("1-0"));
        assert_eq!(fits(&all, "broken").as_deref(), Some("1-0"));
        let acme = Filter {
            tenant: Some("acme".to_owned()),
            ..Filter::default()
        };
        assert_eq!(fits(&acme, job).as_deref(), Some("inv-1"));
        assert_eq!(fits(&acme, r#"{"prompt":"x"}"#), None);
        assert_eq!(fits(&acme, "broken"), None);
        let both = Filter {
            task_type: Some("testing".to_owned()),
            ..acme
        };
        assert_eq!(fits(&both, job), None);
    }

    #[test]
    fn a_step_belongs_to_its_chain_and_its_tenant() {
        let step: StepRef =
            serde_json::from_str(r#"{"chain":"weekly","name":"draft","tenant":"acme"}"#).unwrap();
        let fits = |filter: &Filter| {
            let (text, known) = (
                message(r#"{"prompt":"x"}"#),
                JobId::parse("weekly/draft").unwrap(),
            );
            fitting(&text, known, Some(&step), filter, &Limits::default()).is_some()
        };
        let of = |chain: &str, tenant: &str| Filter {
            chain_id: Some(chain.to_owned()),
            tenant: Some(tenant.to_owned()),
            ..Filter::default()
        };
        assert!(fits(&of("weekly", "acme")));
        assert!(!fits(&of("daily", "acme")));
        assert!(!fits(&of("weekly", "other")));
    }

    #[test]
    fn what_would_be_cancelled_is_told() {
        let ids = (0..12).map(|at| JobId::parse(&format!("job-{at:02}")).unwrap());
        let jobs: Jobs = ids.map(|id| (id.clone(), id)).collect();
        insta::assert_snapshot!(dry_run(&jobs), @r"
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
        assert_eq!(dry_run(&Jobs::new()), "0 jobs would be cancelled");
        assert_eq!(question(1), "Cancel 1 job?");
        let answer = Answer {
            found: 3,
            asked: 2,
            ended: 1,
            dry_run: false,
        };
        assert_eq!(
            told(&answer),
            "2 jobs asked to be cancelled; 1 had ended meanwhile"
        );
    }
}

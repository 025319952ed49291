//! Jobs that match filters, for the commands that take `--all`.

use longshore_broker::{Broker, BrokerError, ParkedJob};
use longshore_client::{JobId, QueueName, without_marks};
use longshore_protocol::{
    chain::StepRef,
    envelope::{Envelope, MessageLimits, RawMessage, parse},
    id::EntryId,
};

use crate::{
    options::LabelFilter,
    render::text::{counted, grouped},
};

/// Entries read by one command.
const PAGE: usize = 200;

/// Jobs shown by a dry run.
const SHOWN: usize = 10;

/// Calls `found` with each job of a stream that matches, and with its entry.
pub(in crate::commands) async fn for_each_in_stream(
    broker: &Broker,
    stream: &QueueName,
    filter: &LabelFilter,
    limits: &MessageLimits,
    mut found: impl FnMut(JobId, EntryId),
) -> Result<(), BrokerError> {
    // Jobs that arrive later are left alone.
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
                found(id, entry_id);
            }
        }
    }
}

/// Calls `found` with each parked job that matches.
pub(in crate::commands) async fn for_each_parked(
    broker: &Broker,
    filter: &LabelFilter,
    limits: &MessageLimits,
    mut found: impl FnMut(JobId, ParkedJob),
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
            let known = parked.checkpoint.id.clone();
            let step = parked.checkpoint.step.as_deref();
            if let Some(id) = matching_id(&parked.message, known, step, filter, limits) {
                found(id, parked);
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
pub(super) fn matching_id(
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

/// The number of jobs with what would be done to them, and the first ones.
pub(in crate::commands) fn describe_dry_run<'a>(
    ids: impl ExactSizeIterator<Item = &'a JobId>,
    would: &str,
) -> String {
    let number = ids.len();
    let colon = if number == 0 { "" } else { ":" };
    let mut lines = vec![format!("{} {would}{colon}", counted(number, "job"))];
    lines.extend(ids.take(SHOWN).map(|id| format!("  {id}")));
    if number > SHOWN {
        lines.push(format!("  … and {} more", grouped(number - SHOWN)));
    }
    lines.join("\n")
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
        let ids: Vec<JobId> = ids.collect();
        insta::assert_snapshot!(describe_dry_run(ids.iter(), "would be cancelled"), @r"
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
        let none = describe_dry_run([].iter(), "would be cancelled");
        assert_eq!(none, "0 jobs would be cancelled");
    }
}

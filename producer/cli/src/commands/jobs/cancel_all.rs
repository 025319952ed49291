//! `longshore jobs cancel --all`: cancels every job that has not ended and matches the filters.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use longshore_broker::{Broker, BrokerError};
use longshore_client::{JobId, QueueName};
use longshore_protocol::{envelope::MessageLimits, id::EntryId};
use serde::Serialize;

use super::matching::{describe_dry_run, for_each_in_stream, for_each_parked};
use crate::{
    audit,
    confirm::Consent,
    error::{CommandError, Exit},
    options::LabelFilter,
    output::Format,
    render::text::{counted, grouped},
    session::Session,
};

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
pub(in crate::commands) type Jobs = BTreeMap<JobId, Option<EntryId>>;

pub(super) async fn run(
    filter: &LabelFilter,
    consent: Consent,
    format: Format,
    broker: &Broker,
    session: &Session,
) -> Result<Exit, CommandError> {
    let jobs = find_jobs(broker, filter, &session.config.limits).await?;
    confirm_and_cancel(&jobs, consent, format, broker).await
}

/// Shows the jobs in a dry run; otherwise cancels them, with consent.
pub(in crate::commands) async fn confirm_and_cancel(
    jobs: &Jobs,
    consent: Consent,
    format: Format,
    broker: &Broker,
) -> Result<Exit, CommandError> {
    let mut answer = Answer {
        found: jobs.len(),
        requested: 0,
        ended: 0,
        dry_run: consent.dry_run,
    };
    if consent.dry_run {
        format.print_with(&answer, || {
            describe_dry_run(jobs.keys(), "would be cancelled")
        });
        return Ok(Exit::Success);
    }
    if !consent.given(jobs.len(), question)? {
        return Ok(Exit::Refused);
    }
    let requested: Vec<bool> = stream::iter(jobs)
        .map(|(id, parked)| broker.jobs().cancel(id, parked.as_ref()))
        .buffer_unordered(CONCURRENT_REQUESTS)
        .try_collect()
        .await?;
    answer.requested = requested.iter().filter(|requested| **requested).count();
    audit::add_affected(answer.requested);
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
        for_each_in_stream(broker, stream, filter, limits, |id, _| {
            jobs.entry(id).or_default();
        })
        .await?;
    }
    for_each_parked(broker, filter, limits, |id, parked| {
        jobs.insert(id, Some(parked.entry_id));
    })
    .await?;
    for stream in streams.iter().filter(|stream| stream.is_ready()) {
        for_each_in_stream(broker, stream, filter, limits, |id, _| {
            jobs.entry(id).or_default();
        })
        .await?;
    }
    Ok(jobs)
}

fn question(jobs: usize) -> String {
    format!("Cancel {}?", counted(jobs, "job"))
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

    #[test]
    fn the_question_and_the_answer_have_counts() {
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

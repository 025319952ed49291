//! `longshore jobs run-now --all`: releases every job that waits for a time and matches the filters.

use std::collections::BTreeMap;

use longshore_broker::{Broker, BrokerError, ReleasedNow};
use longshore_client::{JobId, Lane};
use longshore_protocol::{checkpoint::Checkpoint, envelope::MessageLimits, id::EntryId};
use serde::Serialize;

use super::matching::{describe_dry_run, for_each_parked};
use crate::{
    audit,
    confirm::Consent,
    error::{CommandError, Exit},
    options::LabelFilter,
    output::Format,
    render::text::{counted, grouped},
    session::Session,
};

#[derive(Debug, Serialize)]
struct Answer {
    found: usize,
    released: usize,
    dry_run: bool,
}

/// Jobs by id and by the entry that each was parked from: an id may name several.
type Jobs = BTreeMap<(JobId, EntryId), Checkpoint>;

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
        released: 0,
        dry_run: consent.dry_run,
    };
    if consent.dry_run {
        let ids = jobs.keys().map(|(id, _)| id);
        format.print_with(&answer, || describe_dry_run(ids, "would run now"));
        return Ok(Exit::Success);
    }
    if !consent.given(jobs.len(), question)? {
        return Ok(Exit::Refused);
    }
    let jobs: Vec<(EntryId, Checkpoint)> = jobs
        .into_iter()
        .map(|((_, entry_id), checkpoint)| (entry_id, checkpoint))
        .collect();
    let released = broker.lanes().release_now(&jobs).await?;
    answer.released = released
        .iter()
        .filter(|released| **released == ReleasedNow::Yes)
        .count();
    audit::add_affected(answer.released);
    format.print_with(&answer, || describe_answer(&answer));
    Ok(Exit::Success)
}

/// The jobs that wait for a time and match.
async fn find_jobs(
    broker: &Broker,
    filter: &LabelFilter,
    limits: &MessageLimits,
) -> Result<Jobs, BrokerError> {
    let mut jobs = Jobs::new();
    for_each_parked(broker, filter, limits, |id, parked| {
        if Lane::parse(&parked.lane) == Lane::Time {
            jobs.insert((id, parked.entry_id), parked.checkpoint);
        }
    })
    .await?;
    Ok(jobs)
}

fn question(jobs: usize) -> String {
    format!("Run {} now?", counted(jobs, "job"))
}

fn describe_answer(answer: &Answer) -> String {
    let released = format!("released {}", counted(answer.released, "job"));
    match answer.found - answer.released {
        0 => released,
        left => format!("{released}; {} had already left the lane", grouped(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_and_the_answer_have_counts() {
        assert_eq!(question(1), "Run 1 job now?");
        let answer = |found| Answer {
            found,
            released: 2,
            dry_run: false,
        };
        assert_eq!(describe_answer(&answer(2)), "released 2 jobs");
        assert_eq!(
            describe_answer(&answer(3)),
            "released 2 jobs; 1 had already left the lane"
        );
    }
}

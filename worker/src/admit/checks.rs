//! The checks of an admitted job: its crashes, and its times.

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use longshore_protocol::envelope::Envelope;

use crate::{
    disposition::{Discard, Disposition, Stage, WaitsFor},
    job::Job,
};

/// A job whose workers died this many times becomes a dead letter.
const CRASH_LIMIT: u32 = 3;

/// A message with which this many workers died before they began its job becomes a dead letter. The last of them had
/// pulled it alone.
const UNBEGUN_LIMIT: u32 = 6;

/// Checks that the message does not kill workers that read it.
pub(super) fn check_unbegun(job: &Job) -> Stage<()> {
    if job.unbegun < UNBEGUN_LIMIT {
        return ControlFlow::Continue(());
    }
    let error = format!("{} workers died before they began this job", job.unbegun);
    ControlFlow::Break(Discard::new("poison", error).into())
}

pub(super) fn check_crashes(job: &Job) -> Stage<()> {
    let crashes = job.progress().checkpoint.crashes;
    if crashes < CRASH_LIMIT {
        return ControlFlow::Continue(());
    }
    let error = format!("{crashes} workers died while they ran this job");
    ControlFlow::Break(Discard::new("poison", error).into())
}

/// Checks `deadline`, and of a job that was never started `start_by` and, unless a person released it, `not_before`.
pub(super) fn check_times(job: &Job, envelope: &Envelope, now: DateTime<Utc>) -> Stage<()> {
    let (received, is_started, run_now) = {
        let progress = job.progress();
        let checkpoint = &progress.checkpoint;
        let is_started = checkpoint.started_at.is_some();
        (checkpoint.enqueued_at, is_started, checkpoint.run_now)
    };
    let deadline = envelope.deadline.map(|limit| limit.at(received));
    if let Some(deadline) = deadline.filter(|at| *at <= now) {
        let error = format!("the deadline {} has passed", deadline.to_rfc3339());
        return ControlFlow::Break(Discard::new("expired", error).into());
    }
    if is_started {
        return ControlFlow::Continue(());
    }
    let start_by = envelope.start_by.map(|limit| limit.at(received));
    if let Some(start_by) = start_by.filter(|at| *at <= now) {
        let error = format!("not started by {} (`start_by`)", start_by.to_rfc3339());
        return ControlFlow::Break(Discard::new("expired", error).into());
    }
    match envelope.not_before.map(|limit| limit.at(received)) {
        Some(due) if due > now && !run_now => ControlFlow::Break(Disposition::Parked {
            due,
            waits_for: WaitsFor::NotBefore,
        }),
        _ => ControlFlow::Continue(()),
    }
}

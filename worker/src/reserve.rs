//! Reserve: reserves what a call takes of limits and journals the attempt, in one step, before the call can
//! cost anything. A job that finds no capacity is parked in the same step.

mod draft;
mod refusals;

use std::{ops::ControlFlow, time::Duration};

use chrono::DateTime;
use longshore_broker::{
    AlsoParked, AttemptStart, Begun, Consumed, MeterUsage, Reservation, ReservationCandidate,
    Reserved, Turn,
};
use longshore_policy::limits::MeterName;
use longshore_protocol::{checkpoint::Checkpoint, event::AttemptRecord, id::AttemptId, money::Usd};
use longshore_service::instruments::JOBS_WAITED;

use self::draft::{Draft, DraftContext, decision_record};
use crate::{
    backoff::retry_until_answered,
    context::Context,
    disposition::{Disposition, Stage, WaitsFor},
    job::Job,
    log::Cause,
    route::{
        candidates::{AllUsable, Chosen, Query, Usable, select_all},
        estimate::Estimate,
    },
};

/// An attempt that is reserved and journalled, not yet called.
pub(crate) struct ReservedAttempt<'a> {
    pub(crate) target: Usable<'a>,
    pub(crate) id: AttemptId,
    /// How long the call must wait for its turn under a paced limit.
    pub(crate) wait: Duration,
}

/// Reserves an attempt on the chosen candidate or, if limits have no capacity for that, on the first
/// candidate of all that have it. That branch is boxed, because most jobs do not take it.
pub(crate) async fn reserve<'a>(
    job: &Job,
    query: Query<'_, 'a>,
    chosen: Chosen<'a>,
    checkpoint: Checkpoint,
    context: &Context,
) -> Stage<ReservedAttempt<'a>> {
    let drafts = DraftContext::new(job, query.envelope, checkpoint, context);
    let Chosen { mut first, skipped } = chosen;
    let decision = decision_record(query.decision, skipped);
    let mut draft = drafts.draft(&first, decision.as_ref());
    let mut begun = begin(job, &first, &draft, &drafts, context).await;
    if begun == Begun::Full
        && let Some(estimate) = Box::pin(within_budgets(&first, query, &drafts, context)).await
    {
        first.estimate = estimate;
        draft = drafts.draft(&first, decision.as_ref());
        begun = begin(job, &first, &draft, &drafts, context).await;
    }
    match begun {
        Begun::Yes(turn) => {
            let has_reserved = !first.estimate.reservation.is_empty();
            open_attempt(job, draft.record, turn, has_reserved, context);
            ControlFlow::Continue(ReservedAttempt {
                target: first,
                id: drafts.attempt,
                wait: turn.wait,
            })
        }
        // With a checkpoint to park, the script never answers `Waits`.
        Begun::Parked => {
            let progress = job.progress();
            context.log.parked(&progress, Cause::ConcurrencyKey, None);
            ControlFlow::Break(Disposition::Gone)
        }
        Begun::Lost | Begun::Waits => ControlFlow::Break(Disposition::Gone),
        Begun::Cancelled => ControlFlow::Break(Disposition::cancelled_on_request()),
        Begun::Full => {
            // If its permit is for a probe, another caller may make it.
            drop(first);
            Box::pin(async {
                let all = select_all(query, &drafts.checkpoint).await;
                reserve_any(all, query, &drafts, context).await
            })
            .await
        }
    }
}

/// The estimate of a call whose answer is limited to what its budgets have left; `None` if they do not limit it,
/// or leave too little. The first candidate keeps its place that way: a budget that is nearly used up would
/// otherwise send every job to a lesser model, or let none begin.
async fn within_budgets(
    first: &Usable<'_>,
    query: Query<'_, '_>,
    drafts: &DraftContext<'_>,
    context: &Context,
) -> Option<Estimate> {
    let Usable {
        candidate,
        estimate,
        ..
    } = first;
    if estimate.money.is_empty() {
        return None;
    }
    // Without a reply, the job waits as it would have.
    let limits = context.broker.limits();
    let reports = limits.meters(&estimate.money).await.ok()?;
    let remaining = reports.iter().filter_map(|report| match &report.fill {
        MeterUsage::Window(usage) => Some(usage.remaining()),
        _ => None,
    });
    let left = Usd::from_nanos(remaining.min()?);
    let step = drafts.checkpoint.step.as_deref();
    let limited = Estimate::new(query, candidate, step, Some(left), drafts.now);
    (limited.answer.cost <= left && limited.answer.cost < estimate.answer.cost).then_some(limited)
}

/// Reserves and journals the attempt on the first candidate: one step, and for most jobs the only one.
async fn begin(
    job: &Job,
    first: &Usable<'_>,
    draft: &Draft,
    drafts: &DraftContext<'_>,
    context: &Context,
) -> Begun {
    let start = AttemptStart {
        job: &drafts.checkpoint.id,
        attempt: drafts.attempt,
        event_if_lost: draft.event_if_lost.as_ref(),
        concurrency: drafts.envelope.concurrency.as_ref(),
        checkpoint: None,
        amounts: &first.estimate.reservation,
        waited: drafts.checkpoint.waited,
    };
    let begun = retry_until_answered("begin attempt", || {
        context.broker.deliveries().begin(&job.delivery, &start)
    })
    .await;
    if begun != Begun::Waits {
        return begun;
    }
    // Most jobs find a slot of their concurrency key; only for the others the checkpoint is serialized.
    let checkpoint = drafts.checkpoint_to_park(false);
    let start = AttemptStart {
        checkpoint: checkpoint.as_ref(),
        ..start
    };
    retry_until_answered("begin attempt", || {
        context.broker.deliveries().begin(&job.delivery, &start)
    })
    .await
}

/// Reserves the attempt on the first of all candidates that limits have capacity for; parks the job if no
/// candidate has it.
async fn reserve_any<'a>(
    all: AllUsable<'a>,
    query: Query<'_, 'a>,
    drafts: &DraftContext<'_>,
    context: &Context,
) -> Stage<ReservedAttempt<'a>> {
    let AllUsable {
        mut usable,
        skipped,
        routed,
        until,
        is_every_platform,
    } = all;
    if usable.is_empty() {
        return ControlFlow::Break(Disposition::Parked {
            due: until.unwrap_or(drafts.now),
            waits_for: WaitsFor::Platform,
        });
    }
    let decision = decision_record(query.decision, skipped);
    let mut attempts: Vec<Draft> = usable
        .iter()
        .map(|usable| drafts.draft(usable, decision.as_ref()))
        .collect();
    let candidates: Vec<ReservationCandidate> = attempts
        .iter()
        .zip(&usable)
        .enumerate()
        .map(|(number, (draft, usable))| ReservationCandidate {
            event_if_lost: draft.event_if_lost.clone(),
            amounts: usable.estimate.reservation.clone(),
            spare: number >= routed,
        })
        .collect();
    let concurrency = drafts.envelope.concurrency.as_ref();
    let checkpoint_for_key = concurrency.and_then(|_| drafts.checkpoint_to_park(false));
    let checkpoint_for_limit = drafts.checkpoint_to_park(true);
    let reservation = Reservation {
        job: &drafts.checkpoint.id,
        attempt: drafts.attempt,
        concurrency,
        checkpoint_for_key: checkpoint_for_key.as_ref(),
        checkpoint_for_limit: checkpoint_for_limit.as_ref(),
        waited: drafts.checkpoint.waited,
        candidates: &candidates,
    };
    let reserved = retry_until_answered("reserve capacity", || {
        context
            .broker
            .deliveries()
            .reserve(&drafts.job.delivery, &reservation)
    })
    .await;
    let disposition = match reserved {
        Reserved::Yes(number, turn) if number < usable.len() && number < attempts.len() => {
            let target = usable.swap_remove(number);
            let draft = attempts.swap_remove(number);
            let has_reserved = !target.estimate.reservation.is_empty();
            open_attempt(drafts.job, draft.record, turn, has_reserved, context);
            return ControlFlow::Continue(ReservedAttempt {
                target,
                id: drafts.attempt,
                wait: turn.wait,
            });
        }
        Reserved::Yes(..) | Reserved::Lost => Disposition::Gone,
        Reserved::Parked => {
            let progress = drafts.job.progress();
            context.log.parked(&progress, Cause::ConcurrencyKey, None);
            Disposition::Gone
        }
        Reserved::Cancelled => Disposition::cancelled_on_request(),
        Reserved::Waits {
            at_ms,
            also_parked,
            meter,
            waiting,
        } => {
            let now_ms = context.clock.now().timestamp_millis();
            if MeterName::parse(&meter).queue().is_some() {
                let queue = drafts.job.delivery.queue.base();
                context.queue_gates.close(queue, now_ms, waiting);
            } else if also_parked != AlsoParked::None && is_every_platform {
                // A window that is used up has no capacity before it ends.
                let is_certain =
                    also_parked == AlsoParked::All && MeterName::parse(&meter).is_window();
                context.pull_gate.close(now_ms, at_ms, waiting, is_certain);
            }
            let until = DateTime::from_timestamp_millis(at_ms);
            let progress = drafts.job.progress();
            context.log.parked(&progress, Cause::Limit(&meter), until);
            JOBS_WAITED.add([&meter], 1);
            Disposition::Gone
        }
        Reserved::Never(meter) => refusals::exceeds_limit(&meter, &usable).into(),
        Reserved::Refused(meter) => refusals::budget_exhausted(&meter).into(),
    };
    ControlFlow::Break(disposition)
}

/// Opens the journalled attempt in the job's progress, and logs it.
fn open_attempt(
    job: &Job,
    mut record: Box<AttemptRecord>,
    turn: Turn,
    has_reserved: bool,
    context: &Context,
) {
    if let Some(reserved_at) = turn.reserved_at {
        context.clock.advance_to(reserved_at);
        record.started_at = reserved_at;
    }
    let mut progress = job.progress();
    context.log.routed(&progress, &record);
    let checkpoint = &mut progress.checkpoint;
    checkpoint.attempts += 1;
    checkpoint.waited = false;
    checkpoint.started_at.get_or_insert(record.started_at);
    progress.last_called = Some((record.platform.clone(), record.model.clone()));
    progress.open_attempt = Some(record);
    progress.withdrawn = None;
    progress.has_reserved = has_reserved;
    // Until the call's end is known: should the stage fail before, the whole reservation counts as consumed.
    progress.consumed = if has_reserved {
        Consumed::Unknown
    } else {
        Consumed::NothingTaken
    };
}

//! Steps that ask a person: the job is parked until somebody decides, or until the deadline.

use chrono::{DateTime, TimeDelta, Utc};
use longshore_broker::{Decided, LastReview};
use longshore_protocol::{
    call::Answer,
    envelope::Envelope,
    review::{Decision, Review, ReviewProgress, ReviewResult, ReviewState, Verdict},
};

use crate::{
    backoff::retry_until_answered,
    context::Context,
    disposition::{Discard, Disposition, WaitsFor},
    job::Job,
};

/// Why a step is given up that a person rejected.
const REJECTED: &str = "rejected";

/// How long a job waits until it looks at its review again. A decision releases it before; this is for a review that
/// somebody deleted.
const LOOK_AGAIN: TimeDelta = TimeDelta::days(1);

/// The texts of a step that asks a person, filled in.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) question: String,
    pub(crate) artefact: Option<String>,
}

/// The review of a job in this run.
#[derive(Debug)]
pub(crate) struct ReviewRun {
    pub(crate) review: Review,
    /// Whether the job asks in this run.
    pub(crate) is_new: bool,
    /// The decision.
    pub(crate) result: Option<ReviewResult>,
}

/// Asks a person, or ends the job with the decision.
pub(crate) async fn run_review(
    job: &Job,
    asked: Asked,
    envelope: &Envelope,
    context: &Context,
) -> Disposition {
    let Some((review, is_new)) = begin(job, asked, context.clock.now()) else {
        return Disposition::HandedBack;
    };
    if !is_new {
        match decision(&review, context).await {
            Some(decision) if decision.state == ReviewState::Withdrawn => {
                // The worker that withdrew it died before it ended the job.
                job.progress().checkpoint.review = None;
                return Disposition::HandedBack;
            }
            Some(decision) => return end(job, review, decision, context).await,
            None => {}
        }
    }
    wait(job, review, is_new, envelope, context)
}

/// The review of the job, and whether it is new; `None` if the job is no step that asks a person.
fn begin(job: &Job, asked: Asked, now: DateTime<Utc>) -> Option<(Review, bool)> {
    let mut progress = job.progress();
    let checkpoint = &mut progress.checkpoint;
    let step = checkpoint.step.clone()?;
    let person = step.person.clone()?;
    let is_new = checkpoint.review.is_none();
    checkpoint.started_at.get_or_insert(now);
    // Redis and the ledger keep milliseconds.
    let now = DateTime::from_timestamp_millis(now.timestamp_millis())?;
    let asked_at = checkpoint
        .review
        .get_or_insert(ReviewProgress { asked_at: now })
        .asked_at;
    let deadline = person.deadline_ms.and_then(|after| {
        let after = TimeDelta::milliseconds(i64::try_from(after).ok()?);
        asked_at.checked_add_signed(after)
    });
    let review = Review {
        id: checkpoint.id.clone(),
        chain: step.chain.clone(),
        step: step.instance(),
        asks: person.asks,
        question: asked.question,
        artefact: asked.artefact,
        asked_at,
        deadline,
        default: person.default,
    };
    Some((review, is_new))
}

/// The decision; after the deadline, the default decides.
async fn decision(review: &Review, context: &Context) -> Option<Decision> {
    let reviews = context.broker.reviews();
    let decided = retry_until_answered("read decision", || reviews.decision(review)).await;
    if decided.is_some() {
        return decided;
    }
    let of_deadline = review.decision_at_deadline(context.clock.now())?;
    let decide = || reviews.decide(review, &of_deadline);
    match retry_until_answered("decide review", decide).await {
        Decided::Yes => Some(of_deadline),
        Decided::Before(decision) => Some(*decision),
        // It is asked again, or its worker sees the request to cancel it.
        Decided::Gone | Decided::Cancelled => None,
    }
}

/// Ends the job as decided.
async fn end(job: &Job, review: Review, decision: Decision, context: &Context) -> Disposition {
    let reviews = context.broker.reviews();
    retry_until_answered("keep decision", || reviews.forget_decision(&review.id)).await;
    let output = decision.text.clone().or_else(|| review.artefact.clone());
    let result = decision.result(review.asked_at);
    let verdict = result.as_ref().map(|result| result.decision);
    job.progress().review = Some(Box::new(ReviewRun {
        review,
        is_new: false,
        result,
    }));
    match (verdict, output) {
        (Some(Verdict::Approved), Some(output)) => {
            Disposition::Answered(Answer::without_call(output))
        }
        (Some(Verdict::Approved), None) => Disposition::Done,
        _ => {
            let by = &decision.by;
            let error = decision
                .comment
                .unwrap_or_else(|| format!("rejected by {by}"));
            Discard::new(REJECTED, error).into()
        }
    }
}

/// Parks the job until somebody decides.
fn wait(
    job: &Job,
    review: Review,
    is_new: bool,
    envelope: &Envelope,
    context: &Context,
) -> Disposition {
    let mut progress = job.progress();
    let received = progress.checkpoint.enqueued_at;
    let ends = envelope.deadline.map(|limit| limit.at(received));
    let look_again = context.clock.now() + LOOK_AGAIN;
    let due = [review.deadline, ends].into_iter().flatten();
    let due = due.fold(look_again, DateTime::min);
    progress.review = Some(Box::new(ReviewRun {
        review,
        is_new,
        result: None,
    }));
    Disposition::Parked {
        due,
        waits_for: WaitsFor::Person,
    }
}

/// Withdraws the open review of a job that ends without a decision.
pub(crate) async fn withdraw_review(job: &Job, context: &Context) {
    let (id, asked) = {
        let checkpoint = &job.progress().checkpoint;
        (checkpoint.id.clone(), checkpoint.review.clone())
    };
    let Some(asked) = asked else { return };
    let reviews = context.broker.reviews();
    let last = retry_until_answered("read review", || reviews.last(&id)).await;
    let LastReview::Open(review) = last else {
        return;
    };
    if review.asked_at != asked.asked_at {
        return;
    }
    let withdrawn = Decision {
        state: ReviewState::Withdrawn,
        by: String::new(),
        comment: None,
        at: context.clock.now(),
        text: None,
    };
    let withdraw = || reviews.decide(&review, &withdrawn);
    retry_until_answered("withdraw review", withdraw).await;
}

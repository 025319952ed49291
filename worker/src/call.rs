//! Call: makes a reserved attempt, writes its result into the job's open attempt, and reports to the other
//! workers what the call says about the provider.

mod answer_schema;

use std::{ops::ControlFlow, time::Duration};

use chrono::{DateTime, Utc};
use longshore_broker::Consumed;
use longshore_policy::{
    catalog::{Catalog, ModelEntry},
    parameters::Asked,
    routing::Candidate,
    tokens,
};
use longshore_protocol::{
    call::{Answer, Call, CallCost, CallError, ErrorClass, ToolChoice, Usage, leave_out},
    chain::{Extract, Merge},
    envelope::Envelope,
    event::AttemptRecord,
    money::Usd,
    state::AttemptOutcome,
};
use longshore_service::instruments::{ATTEMPT_DURATION, ATTEMPTS, COST, TOKENS};

use self::answer_schema::AnswerForm;
use crate::{
    context::Context,
    disposition::{Discard, Disposition, Stage},
    job::Job,
    provider::Provider,
    reserve::ReservedAttempt,
    route::{candidates::Usable, policy::Policy},
};

/// The result of a call.
#[derive(Debug)]
pub(crate) enum Called<'a> {
    Answered(Answer),
    Failed(FailedCall<'a>),
}

/// A call that failed.
#[derive(Debug)]
pub(crate) struct FailedCall<'a> {
    pub(crate) candidate: Candidate<'a>,
    pub(crate) error: CallError,
    /// Whether the candidate's circuit is open now.
    pub(crate) circuit_is_open: bool,
}

/// Makes the attempt. Ends the run of a job that is cancelled, handed back or expired meanwhile.
pub(crate) async fn call<'a>(
    job: &Job,
    envelope: &Envelope,
    attempt: ReservedAttempt<'a>,
    policy: &Policy,
    context: &Context,
) -> Stage<Called<'a>> {
    wait_for_turn(job, attempt.wait, context).await?;
    let candidate = &attempt.target.candidate;
    let Some(provider) = policy.providers.get(&candidate.provider.name) else {
        let error = format!("platform `{}` is not available", candidate.provider.name);
        let error = CallError::new(ErrorClass::Internal, error);
        let result = write_result(job, candidate, Err(error), context.clock.now());
        return Box::pin(report(result, attempt, context)).await;
    };
    let call = match prepare_call(
        job,
        envelope,
        &attempt,
        &policy.config.catalog,
        context.clock.now(),
    ) {
        Ok(call) => call,
        Err(discard) => {
            withdraw_attempt(job);
            return ControlFlow::Break(discard.into());
        }
    };
    let result = match AnswerForm::of(&call).await {
        Ok(form) => match answer(job, &**provider, &call, context).await? {
            // An answer is billed, so nothing interrupts its check.
            Ok(answer) => Box::pin(form.accept(answer, &call, &policy.config.limits)).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let billed = result.map(|answer| Billed::new(answer, &call, candidate.model));
    let result = write_result(job, candidate, billed, context.clock.now());
    Box::pin(report(result, attempt, context)).await
}

/// The provider's answer, unless the job is cancelled or the worker stops before it.
async fn answer(
    job: &Job,
    provider: &dyn Provider,
    call: &Call,
    context: &Context,
) -> Stage<Result<Answer, CallError>> {
    tokio::select! {
        biased;
        result = provider.call(call) => ControlFlow::Continue(result),
        () = job.cancelled.cancelled() => {
            stop_attempt(job, "cancelled on request during the call", context.clock.now());
            ControlFlow::Break(Disposition::cancelled_on_request())
        }
        () = context.abort.cancelled() => {
            stop_attempt(job, "handed back during the call: the worker is stopping", context.clock.now());
            ControlFlow::Break(Disposition::HandedBack)
        }
    }
}

/// Waits for the attempt's turn under a paced limit.
async fn wait_for_turn(job: &Job, wait: Duration, context: &Context) -> Stage<()> {
    if wait.is_zero() {
        return ControlFlow::Continue(());
    }
    let disposition = tokio::select! {
        () = tokio::time::sleep(wait) => {
            if let Some(record) = &mut job.progress().open_attempt {
                record.started_at = context.clock.now();
            }
            return ControlFlow::Continue(());
        }
        () = job.cancelled.cancelled() => Disposition::cancelled_on_request(),
        () = context.drain.cancelled() => Disposition::HandedBack,
    };
    withdraw_attempt(job);
    ControlFlow::Break(disposition)
}

/// What is to be said of a preferred platform that cannot be called, so that no other one answers, and costs, unnoticed.
fn unavailable_platform(
    envelope: &Envelope,
    catalog: &Catalog,
    called: &Candidate<'_>,
) -> Option<String> {
    let why = match catalog.require_platform(envelope.platform.as_deref()?) {
        Ok(platform) if platform.is_on() => return None,
        Ok(platform) => platform.state(),
        Err(unknown) => unknown.to_string(),
    };
    Some(format!("{why}; called `{}` instead", called.provider.name))
}

/// The call that the provider receives. Fails if the deadline has passed. Notes in the job what the call goes without.
fn prepare_call(
    job: &Job,
    envelope: &Envelope,
    attempt: &ReservedAttempt<'_>,
    catalog: &Catalog,
    now: DateTime<Utc>,
) -> Result<Call, Discard> {
    let Usable {
        candidate,
        estimate,
        ..
    } = &attempt.target;
    let received = job.progress().checkpoint.enqueued_at;
    let left = envelope.deadline.map(|limit| limit.at(received) - now);
    let timeout = match left.map(|left| left.to_std().unwrap_or(Duration::ZERO)) {
        Some(Duration::ZERO) => return Err(Discard::new("expired", "the deadline has passed")),
        Some(left) => envelope.timeout.min(left),
        None => envelope.timeout,
    };
    let timeout = match candidate.provider.timeout {
        Some(cap) => timeout.min(cap),
        None => timeout,
    };
    let answer = estimate.answer;
    let limited = answer.is_limited.then_some(answer.tokens);
    let mut params = envelope.params.clone();
    params.max_tokens = limited.or(params.max_tokens);
    let asked = Asked::new(&params, &envelope.messages);
    let left_out = asked.left_out_by(candidate.provider, candidate.model);
    let mut remarks: Vec<String> = left_out.iter().map(ToString::to_string).collect();
    remarks.extend(asked.remarks(catalog));
    remarks.extend(unavailable_platform(envelope, catalog, candidate));
    let raised = job.progress().checkpoint.token_limit;
    remarks.extend(raised.map(|limit| {
        format!("`max_tokens` was raised to {limit}: an answer reached the limit before it could be used")
    }));
    if params.tool_choice == Some(ToolChoice::None) && job.progress().checkpoint.tools.is_some() {
        remarks.push(
            "all rounds of tools were used up: the last call had to answer without them".to_owned(),
        );
    }
    job.progress().remarks = remarks;
    let mut messages = envelope.messages.clone();
    let left_out = left_out.iter().map(|left_out| left_out.parameter);
    leave_out(&mut params, &mut messages, left_out);
    let options = params.options_for(&candidate.provider.name).cloned();
    Ok(Call {
        attempt_id: attempt.id,
        model: candidate.model.model.clone(),
        system: envelope.system.clone(),
        messages,
        params,
        options: options.unwrap_or_default(),
        default_max_tokens: candidate.model.max_output_tokens,
        spawn: envelope.spawn,
        extract: extract_of(job),
        timeout,
    })
}

/// The part that the answer to the call must have. The answer of a judge is the number of another answer.
fn extract_of(job: &Job) -> Option<Extract> {
    let progress = job.progress();
    let step = progress.checkpoint.step.as_deref()?;
    let merge = step.merge.as_ref().map(|of| &of.merge);
    step.extract
        .filter(|_| !matches!(merge, Some(Merge::BestOf { .. })))
}

/// Reports the result to the circuit and to the account's holds.
async fn report<'a>(
    result: Option<Result<Answer, CallError>>,
    attempt: ReservedAttempt<'a>,
    context: &Context,
) -> Stage<Called<'a>> {
    let ReservedAttempt { target, .. } = attempt;
    let (candidate, permit) = (target.candidate, target.permit);
    let (provider, broker) = (candidate.provider, &context.broker);
    let account_holds = &context.availability.account_holds;
    let now = context.clock.now();
    match result {
        Some(Ok(answer)) => {
            permit.succeeded().await;
            account_holds
                .hold_after_answer(provider, &answer.room, broker, now)
                .await;
            ControlFlow::Continue(Called::Answered(answer))
        }
        Some(Err(error)) => {
            let circuit_is_open = Box::pin(async {
                account_holds
                    .hold_after_failure(provider, &error, broker, now)
                    .await;
                permit.failed(&error).await
            })
            .await;
            ControlFlow::Continue(Called::Failed(FailedCall {
                candidate,
                error,
                circuit_is_open,
            }))
        }
        None => ControlFlow::Break(Disposition::Gone),
    }
}

/// An answer and what it is billed for.
struct Billed {
    answer: Answer,
    usage: Usage,
    /// Whether the usage is our own count.
    is_estimated: bool,
}

impl Billed {
    /// Counts the tokens of an answer whose provider reports none, or an impossible number: it has been billed, and
    /// must neither pass for free in budgets and reports nor use up limits for days.
    fn new(answer: Answer, call: &Call, model: &ModelEntry) -> Self {
        let is_estimated = answer.usage == Usage::default() || !is_possible(answer.usage, model);
        if is_estimated && answer.usage != Usage::default() {
            tracing::warn!(
                model = model.model,
                input_tokens = answer.usage.total_input(),
                output_tokens = answer.usage.total_output(),
                "reported usage is impossible; charging our own count instead"
            );
        }
        let usage = if is_estimated {
            Usage {
                input: tokens::Prompt::of_call(call).estimate(),
                output: tokens::estimate_answer(&answer),
                ..Usage::default()
            }
        } else {
            answer.usage
        };
        Self {
            answer,
            usage,
            is_estimated,
        }
    }
}

/// Whether a call may have used so many tokens. Configured windows are often out of date, so only a multiple of them
/// is impossible.
fn is_possible(usage: Usage, model: &ModelEntry) -> bool {
    const TIMES: u64 = 10;
    let most = model.context_window.saturating_mul(TIMES);
    usage.total_input() <= most && usage.total_output() <= most
}

/// Writes the result of the call into the open attempt. `None` if the attempt is no longer open.
fn write_result(
    job: &Job,
    candidate: &Candidate<'_>,
    result: Result<Billed, CallError>,
    now: DateTime<Utc>,
) -> Option<Result<Answer, CallError>> {
    let mut progress = job.progress();
    let has_reserved = progress.has_reserved;
    let record = progress.open_attempt.as_mut()?;
    record.finished_at = Some(now);
    let consumed = match &result {
        Ok(billed) => {
            record.outcome = AttemptOutcome::Completed;
            record.usage = billed.usage;
            record.usage_estimated = billed.is_estimated;
            let reported = billed.answer.reported_cost;
            match candidate.provider.reported_cost(reported) {
                Some(cost) => record.cost_usd = Some(cost),
                None => set_cost(record, candidate.model),
            }
            record.reported_cost_usd = reported;
            record.response_id.clone_from(&billed.answer.response_id);
            known_consumption(record, true)
        }
        Err(error) => {
            record.outcome = AttemptOutcome::Failed;
            record.error_class = Some(error.class);
            record.error = Some(error.message.clone());
            record.status = error.status;
            match error.spend {
                CallCost::Nothing => {
                    record.cost_usd = Some(Usd::ZERO);
                    known_consumption(record, false)
                }
                CallCost::Unknown => Consumed::Unknown,
                CallCost::Known(usage) => {
                    record.usage = usage;
                    set_cost(record, candidate.model);
                    known_consumption(record, false)
                }
            }
        }
    };
    count_attempt(record);
    progress.consumed = if has_reserved {
        consumed
    } else {
        Consumed::NothingTaken
    };
    Some(result.map(|billed| billed.answer))
}

/// Sets the cost of the attempt's usage, by the prices of its day.
fn set_cost(record: &mut AttemptRecord, model: &ModelEntry) {
    record.cost_usd = Some(model.cost(&record.usage, record.started_at));
    record.usage_estimated |= !model.is_exact(&record.usage, record.started_at);
}

/// What the attempt consumed of its reservation.
fn known_consumption(record: &AttemptRecord, answered: bool) -> Consumed {
    // Providers do not count requests that they refuse for a limit.
    let is_refused_for_limit = matches!(
        record.error_class,
        Some(ErrorClass::RateLimited | ErrorClass::QuotaExhausted)
    );
    let reached_provider = answered || record.status.is_some();
    Consumed::Known {
        tokens: record.usage.total_input() + record.usage.total_output(),
        requests: u64::from(reached_provider && !is_refused_for_limit),
        nanos: record.cost_usd.unwrap_or(Usd::ZERO).nanos_up(),
        answered,
    }
}

/// Withdraws an attempt that was never called: it is not recorded, and its reservation is returned in full.
fn withdraw_attempt(job: &Job) {
    let mut progress = job.progress();
    progress.checkpoint.attempts = progress.checkpoint.attempts.saturating_sub(1);
    progress.withdrawn = progress
        .open_attempt
        .take()
        .map(|attempt| attempt.attempt_id);
    progress.consumed = Consumed::Known {
        tokens: 0,
        requests: 0,
        nanos: 0,
        answered: false,
    };
}

/// Stops an attempt during its call. What it consumed is unknown.
fn stop_attempt(job: &Job, error: &str, now: DateTime<Utc>) {
    let mut progress = job.progress();
    let has_reserved = progress.has_reserved;
    if let Some(record) = &mut progress.open_attempt {
        record.outcome = AttemptOutcome::Cancelled;
        record.finished_at = Some(now);
        record.error = Some(error.to_owned());
        count_attempt(record);
    }
    progress.consumed = if has_reserved {
        Consumed::Unknown
    } else {
        Consumed::NothingTaken
    };
}

/// Counts an attempt that ended in the metrics.
fn count_attempt(record: &AttemptRecord) {
    let AttemptRecord {
        platform,
        model,
        usage,
        ..
    } = record;
    let class = record.error_class.map_or("", ErrorClass::as_str);
    ATTEMPTS.add([platform, model, record.outcome.as_str(), class], 1);
    let ended = record.finished_at.unwrap_or(record.started_at);
    if let Ok(took) = (ended - record.started_at).to_std() {
        ATTEMPT_DURATION.record([platform, model], took);
    }
    if let Some(cost) = record.cost_usd.filter(|cost| *cost > Usd::ZERO) {
        COST.add([platform, model], cost);
    }
    let tokens = [
        ("input", usage.input),
        ("cached", usage.cached),
        ("cache_write", usage.cache_write + usage.cache_write_1h),
        ("output", usage.output),
        ("reasoning", usage.reasoning),
    ];
    for (direction, tokens) in tokens.into_iter().filter(|(_, tokens)| *tokens > 0) {
        TOKENS.add([platform, model, direction], tokens);
    }
}

//! The calls of the last round that have no result yet.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use longshore_broker::Fence;
use longshore_protocol::{call::ToolCall, id::AttemptId, tool_rounds::ToolRecord};
use longshore_service::instruments::{TOOL_CALLS, TOOL_DURATION};

use super::{
    answered::{Answered, head},
    toolbox::{Action, Toolbox},
};
use crate::{
    backoff::retry_until_answered,
    context::Context,
    disposition::{Disposition, Stage},
    job::Job,
    record::serialize,
};

/// The most calls of one answer that run.
const MOST_CALLS: usize = 32;

/// The most workers that continue the calls of a round. The next one gives up the call at which they died.
const MOST_RESUMED: u32 = 3;

/// What the model reads of a call whose worker ended before the call did.
const INTERRUPTED: &str = "this call was interrupted; it may have taken effect. It is not made again: look before \
                           you repeat it";

/// The time between two attempts of a delivery, in which tools run.
pub(super) struct Between {
    /// The attempt before, or an id in its place.
    last: AttemptId,
    /// Whether the journal does not know of it yet.
    is_first: bool,
}

impl Between {
    /// Before the first attempt of a delivery.
    pub(super) fn first() -> Self {
        Self {
            last: AttemptId::new(),
            is_first: true,
        }
    }

    /// After an attempt that was recorded.
    pub(super) fn after(last: AttemptId) -> Self {
        Self {
            last,
            is_first: false,
        }
    }

    /// Stores the checkpoint. Ends the run of a job that another worker has.
    pub(super) async fn keep(&mut self, job: &Job, context: &Context) -> Stage<()> {
        let (checkpoint, concurrency) = {
            let mut progress = job.progress();
            progress.is_in_redis = true;
            let checkpoint = serialize(&progress.checkpoint, context.broker.keyring());
            (checkpoint, progress.concurrency().cloned())
        };
        let fence = retry_until_answered("store conversation", || {
            context.broker.deliveries().keep(
                &job.delivery,
                (self.last, self.is_first),
                concurrency.as_ref(),
                checkpoint.as_ref(),
            )
        })
        .await;
        self.is_first = false;
        match fence {
            Fence::Held => ControlFlow::Continue(()),
            Fence::Lost => ControlFlow::Break(Disposition::Gone),
        }
    }
}

/// The first call without a result.
struct Pending {
    call: ToolCall,
    round: u32,
    /// Whether it has begun on another worker, and must not begin again.
    is_interrupted: bool,
    is_too_many: bool,
}

impl Pending {
    fn of(job: &Job) -> Option<Self> {
        let progress = job.progress();
        let rounds = progress.checkpoint.tools.as_ref()?;
        let ended = rounds.conversation.last()?.results.len();
        Some(Self {
            call: rounds.pending()?.clone(),
            round: rounds.outcome.rounds,
            is_interrupted: rounds.begun || rounds.resumed > MOST_RESUMED,
            is_too_many: ended >= MOST_CALLS,
        })
    }

    /// Writes the result into the conversation and the record.
    fn end(self, job: &Job, answered: &Answered, took: Duration, max_bytes: usize) {
        let mut progress = job.progress();
        let Some(rounds) = progress.checkpoint.tools.as_mut() else {
            return;
        };
        let room = max_bytes.saturating_sub(rounds.size());
        let record = ToolRecord {
            round: self.round,
            tool: head(&self.call.function.name),
            arguments: head(&self.call.function.arguments),
            ok: answered.error.is_none(),
            error: answered.error.as_deref().map(head),
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            interrupted: self.is_interrupted,
        };
        if self.is_interrupted {
            rounds.resumed = 0;
        }
        rounds.end_call(answered.result(room), record);
    }
}

impl Toolbox<'_> {
    /// Runs the calls that have no result yet, one after another, and stores their results.
    pub(super) async fn run_pending(
        &self,
        job: &Job,
        mut between: Between,
        context: &Context,
    ) -> Stage<()> {
        while let Some(pending) = Pending::of(job) {
            // Another worker runs the next one: this one would delay the drain or be cut off by its end.
            if context.drain.is_cancelled() {
                return ControlFlow::Break(Disposition::HandedBack);
            }
            let action = self.find(&pending.call.function.name);
            let begun = Instant::now();
            let answered = match action {
                _ if pending.is_interrupted => Answered::failed(INTERRUPTED),
                _ if pending.is_too_many => Answered::failed(format!(
                    "an answer may call {MOST_CALLS} tools; call the others again"
                )),
                None => Answered::failed(format!(
                    "there is no tool `{}`; expected one of {}",
                    head(&pending.call.function.name),
                    self.names().join(", ")
                )),
                Some(action) => {
                    if action.has_effects() {
                        set_begun(job);
                        between.keep(job, context).await?;
                    }
                    run(job, action, &pending.call, context).await?
                }
            };
            let took = begun.elapsed();
            count(action, &pending, &answered, took);
            pending.end(job, &answered, took, self.max_bytes);
        }
        between.keep(job, context).await
    }
}

fn set_begun(job: &Job) {
    if let Some(rounds) = job.progress().checkpoint.tools.as_mut() {
        rounds.begun = true;
    }
}

/// Runs a call, unless the job is cancelled or the worker stops before its end. Then what the call has begun is stopped.
async fn run(job: &Job, action: Action<'_>, call: &ToolCall, context: &Context) -> Stage<Answered> {
    let left = time_left(job, context);
    tokio::select! {
        biased;
        answered = action.run(&call.function.arguments, left) => ControlFlow::Continue(answered),
        () = job.cancelled.cancelled() => ControlFlow::Break(Disposition::cancelled_on_request()),
        () = context.abort.cancelled() => ControlFlow::Break(Disposition::HandedBack),
    }
}

/// The time until the deadline of the job, if it has one.
fn time_left(job: &Job, context: &Context) -> Option<Duration> {
    let progress = job.progress();
    let deadline = progress.envelope.as_ref()?.deadline?;
    let left = deadline.at(progress.checkpoint.enqueued_at) - context.clock.now();
    Some(left.to_std().unwrap_or_default())
}

fn count(action: Option<Action<'_>>, pending: &Pending, answered: &Answered, took: Duration) {
    // What a model makes up would be a label of its own each time.
    let tool = match action {
        Some(_) => pending.call.function.name.as_str(),
        None => "unknown",
    };
    let outcome = match &answered.error {
        None => "ok",
        Some(_) if pending.is_interrupted => "interrupted",
        Some(_) => "error",
    };
    TOOL_CALLS.add([tool, outcome], 1);
    TOOL_DURATION.record([tool], took);
}

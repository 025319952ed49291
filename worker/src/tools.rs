//! Tools that the worker runs for a model. An answer that calls tools is recorded together with the conversation so far;
//! then the calls run, one after another, and the next call of the model reads their results.
//!
//! The conversation is in the checkpoint. Before each call that may have an effect, and after the last one, the checkpoint
//! is stored, so that the next worker knows what has ended and what may have begun.

mod action;
mod answered;
mod files;
mod pending;
mod request;
mod toolbox;

use std::sync::Arc;

use longshore_policy::routing::Decision;
use longshore_protocol::{
    call::{Answer, ChatMessage, Role, ToolChoice},
    chain::ModelName,
    envelope::Envelope,
    tool_rounds::ToolRounds,
};

use self::pending::Between;
pub(crate) use self::toolbox::Toolbox;
use crate::{
    context::Context,
    disposition::{Discard, Stage},
    job::Job,
    retry::record_open_attempt,
};

/// Why a step is given up whose model calls tools when none are left.
const ROUNDS_EXHAUSTED: &str = "tool_rounds_exhausted";

/// What the model reads when it may call no more tools.
const ANSWER_NOW: &str =
    "No further tools can be called. Answer now, with what you know from the results so far.";

impl Toolbox<'_> {
    /// The envelope with the tools of the step.
    pub(crate) fn offer(&self, envelope: &Envelope) -> Arc<Envelope> {
        let mut envelope = envelope.clone();
        envelope.params.tools = self.definitions();
        Arc::new(envelope)
    }

    /// The envelope of the next call: with the conversation so far and, if no round is left, without a choice to call tools.
    pub(crate) fn converse(&self, job: &Job, envelope: &Arc<Envelope>) -> Arc<Envelope> {
        let progress = job.progress();
        let Some(rounds) = &progress.checkpoint.tools else {
            return envelope.clone();
        };
        let mut envelope = Envelope::clone(envelope);
        envelope.messages.extend(rounds.messages());
        if self.is_over(rounds) {
            envelope.params.tool_choice = Some(ToolChoice::None);
            let words = ChatMessage::new(Role::User, ANSWER_NOW);
            envelope.messages.push(words);
        }
        Arc::new(envelope)
    }

    /// Runs the calls that another worker left without a result, if any.
    pub(crate) async fn resume(&self, job: &Job, context: &Context) -> Stage<()> {
        let is_pending = {
            let mut progress = job.progress();
            let rounds = progress.checkpoint.tools.as_mut();
            rounds
                .filter(|rounds| rounds.pending().is_some())
                .map(|rounds| rounds.resumed = rounds.resumed.saturating_add(1))
                .is_some()
        };
        if !is_pending {
            return Stage::Continue(());
        }
        let mut between = Between::first();
        between.keep(job, context).await?;
        self.run_pending(job, between, context).await
    }

    /// Records an answer that calls tools, and runs them. Ends the run of a job that has no round left.
    pub(crate) async fn run_round(
        &self,
        job: &Job,
        answer: Answer,
        context: &Context,
    ) -> Stage<()> {
        let between = {
            let mut progress = job.progress();
            let rounds = progress.checkpoint.tools.as_deref();
            if rounds.is_some_and(|rounds| self.is_over(rounds)) {
                return Stage::Break(self.exhausted(answer).into());
            }
            let by = progress.last_called.clone();
            let by = by.map(|(platform, model)| ModelName { platform, model });
            let checkpoint = &mut progress.checkpoint;
            let rounds = checkpoint.tools.get_or_insert_default();
            rounds.begin_round(answer.output, answer.tool_calls, by);
            // What failed before this answer does not count against the next one.
            checkpoint.tries.clear();
            checkpoint.earlier_tries.clear();
            checkpoint.repairs = 0;
            checkpoint.fault = None;
            progress.is_in_redis = true;
            let attempt = progress.open_attempt.as_ref();
            attempt.map_or_else(Between::first, |attempt| Between::after(attempt.attempt_id))
        };
        record_open_attempt(job, context.clock.now(), context).await?;
        self.run_pending(job, between, context).await
    }

    fn exhausted(&self, answer: Answer) -> Discard {
        let error = format!(
            "the model called a tool instead of an answer, although no round is left (`max_rounds`: {})",
            self.max_rounds
        );
        Discard {
            answer: Some(Box::new(Answer {
                tool_calls: Vec::new(),
                ..answer
            })),
            ..Discard::new(ROUNDS_EXHAUSTED, error)
        }
    }

    /// Whether the model may call no more tools: all rounds are used up, or the conversation is too long.
    fn is_over(&self, rounds: &ToolRounds) -> bool {
        rounds.outcome.rounds >= self.max_rounds || rounds.size() >= self.max_bytes
    }
}

/// Puts the model first that answered the last round: it knows the form of its own calls, and may have the conversation in
/// its cache.
pub(crate) fn prefer_last(job: &Job, decision: &mut Decision<'_>) {
    let progress = job.progress();
    let rounds = progress.checkpoint.tools.as_ref();
    if let Some(by) = rounds.and_then(|rounds| rounds.by.as_ref()) {
        decision.candidates.sort_by_key(|candidate| {
            candidate.provider.name.as_str() != by.platform || candidate.model.model != by.model
        });
    }
}

//! The spans of a job's stages in this worker. The spans of jobs, attempts and chains follow from their events
//! (`record/spans.rs`), so that they are complete whichever processes die.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use longshore_service::traces::{Span, TraceContext, Traces, opentelemetry::trace::SpanId};

use crate::{context::Context, job::Job};

/// What has a span of its own, by its id.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Traced<'a> {
    Job(&'a str),
    Chain(&'a str),
}

impl<'a> Traced<'a> {
    /// The context of its own span. `received` is the context in its message.
    pub(crate) fn span(self, received: TraceContext, context: &Context) -> TraceContext {
        let (kind, id) = self.parts();
        received.child(&[kind, context.broker.keys().prefix(), id])
    }

    /// The context of a job or chain that came with none: a trace of its own, whose first span is its own. `None` if
    /// traces are off.
    pub(crate) fn begin(self, enqueued_at: DateTime<Utc>, context: &Context) -> Option<String> {
        if !context.traces.is_on() {
            return None;
        }
        let (kind, id) = self.parts();
        // An id may be used again later, so the time is part of the trace.
        let at = enqueued_at.timestamp_millis().to_string();
        let prefix = context.broker.keys().prefix();
        let begun = context.traces.begin(&[kind, prefix, id, &at])?;
        Some(self.span(begun, context).to_string())
    }

    /// The context for the jobs that a job spawns and for the steps of a chain. Without traces, it is the one that the job
    /// or chain came with.
    pub(crate) fn below(self, received: Option<&str>, context: &Context) -> Option<String> {
        let received = received?;
        let parsed = context
            .traces
            .is_on()
            .then(|| TraceContext::parse(received));
        let own = parsed.flatten().map(|parsed| self.span(parsed, context));
        Some(own.map_or_else(|| received.to_owned(), |own| own.to_string()))
    }

    fn parts(self) -> (&'static str, &'a str) {
        match self {
            Self::Job(id) => ("job", id),
            Self::Chain(id) => ("chain", id),
        }
    }
}

/// A stage of a job that is running.
pub(crate) struct StageSpan<'a> {
    traces: &'a Traces,
    job: TraceContext,
    name: &'static str,
    start: DateTime<Utc>,
    begun: Instant,
}

impl<'a> StageSpan<'a> {
    /// `None` if the job's trace is not sampled.
    pub(crate) fn begin(name: &'static str, job: &Job, context: &'a Context) -> Option<Self> {
        if !context.traces.is_on() {
            return None;
        }
        let progress = job.progress();
        let received = progress.envelope.as_deref()?.traceparent.as_deref()?;
        let received = TraceContext::parse(received)?;
        context.traces.samples(&received).then(|| Self {
            traces: &context.traces,
            job: Traced::Job(progress.checkpoint.id.as_str()).span(received, context),
            name,
            start: context.clock.now(),
            begun: Instant::now(),
        })
    }

    pub(crate) fn end(span: Option<Self>) {
        let Some(stage) = span else { return };
        let took = TimeDelta::from_std(stage.begun.elapsed()).unwrap_or_default();
        let own = TraceContext {
            span: SpanId::from_bytes(rand::random()),
            ..stage.job
        };
        stage.traces.send(Span {
            parent: Some(stage.job.span),
            ..Span::new(stage.name, own, stage.start, stage.start + took)
        });
    }
}

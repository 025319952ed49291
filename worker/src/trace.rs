//! The spans of a job's stages in this worker. The spans of jobs, attempts and chains follow from their events
//! (`record/spans.rs`), so that they are complete whichever processes die.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use longshore_protocol::id::JobId;
use longshore_service::traces::{
    Span, TraceContext, Traces,
    opentelemetry::trace::{SpanId, SpanKind},
};

use crate::{context::Context, job::Job};

/// The context of a job's own span. `received` is the context in its message.
pub(crate) fn job_span(received: TraceContext, job: &str, context: &Context) -> TraceContext {
    received.child(&["job", context.broker.keys().prefix(), job])
}

/// The context of a chain's own span.
pub(crate) fn chain_span(received: TraceContext, chain: &str, context: &Context) -> TraceContext {
    received.child(&["chain", context.broker.keys().prefix(), chain])
}

/// The context of a job that came with none: a trace of its own, whose first span is the job's. `None` if traces are off.
pub(crate) fn begin_job(
    id: &JobId,
    enqueued_at: DateTime<Utc>,
    context: &Context,
) -> Option<String> {
    let begun = begin("job", id.as_str(), enqueued_at, context)?;
    Some(job_span(begun, id.as_str(), context).to_string())
}

/// The context of a chain that came with none.
pub(crate) fn begin_chain(
    id: &str,
    enqueued_at: DateTime<Utc>,
    context: &Context,
) -> Option<String> {
    let begun = begin("chain", id, enqueued_at, context)?;
    Some(chain_span(begun, id, context).to_string())
}

/// An id may be used again later, so the time is part of the trace.
fn begin(
    kind: &str,
    id: &str,
    enqueued_at: DateTime<Utc>,
    context: &Context,
) -> Option<TraceContext> {
    let at = enqueued_at.timestamp_millis().to_string();
    let prefix = context.broker.keys().prefix();
    context.traces.begin(&[kind, prefix, id, &at])
}

/// The context for jobs that a job spawns. Without traces, it is the one that the job came with.
pub(crate) fn below_job(received: Option<&str>, job: &str, context: &Context) -> Option<String> {
    below(received, context, |received| {
        job_span(received, job, context)
    })
}

/// The context for the steps of a chain. Without traces, it is the one that the chain came with.
pub(crate) fn below_chain(
    received: Option<&str>,
    chain: &str,
    context: &Context,
) -> Option<String> {
    below(received, context, |received| {
        chain_span(received, chain, context)
    })
}

fn below(
    received: Option<&str>,
    context: &Context,
    own: impl Fn(TraceContext) -> TraceContext,
) -> Option<String> {
    let received = received?;
    let parsed = TraceContext::parse(received).filter(|_| context.traces.is_on());
    Some(parsed.map_or_else(|| received.to_owned(), |parsed| own(parsed).to_string()))
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
            job: job_span(received, progress.checkpoint.id.as_str(), context),
            name,
            start: context.clock.now(),
            begun: Instant::now(),
        })
    }

    pub(crate) fn end(span: Option<Self>) {
        let Some(stage) = span else { return };
        let took = TimeDelta::from_std(stage.begun.elapsed()).unwrap_or_default();
        stage.traces.send(Span {
            name: stage.name.into(),
            kind: SpanKind::Internal,
            context: TraceContext {
                span: SpanId::from_bytes(rand::random()),
                ..stage.job
            },
            parent: Some(stage.job.span),
            start: stage.start,
            end: stage.start + took,
            attributes: Vec::new(),
            links: Vec::new(),
            error: None,
        });
    }
}

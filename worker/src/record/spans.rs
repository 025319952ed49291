//! The spans of what the ledger has: jobs, attempts and chains, and how long each fact waited for its record.
//!
//! They follow from the events, so a lost attempt and a job that no worker ended have theirs too. A batch that is recorded
//! twice gives the same spans again.

use chrono::{DateTime, Utc};
use longshore_ledger::EventId;
use longshore_policy::catalog::Catalog;
use longshore_protocol::{
    chain::ChainState,
    event::{AttemptRecord, ChainRecord, Event, JobLabels, JobRecord},
    state::{AttemptOutcome, JobState},
};
use longshore_service::traces::{
    Span, TraceContext,
    opentelemetry::{
        Array, KeyValue, StringValue, Value,
        trace::{SpanId, SpanKind},
    },
};

use crate::{context::Context, trace::Traced};

/// The names that the conventions for generative AI give platforms of the built-in catalog; other platforms keep their own.
const PROVIDERS: [(&str, &str); 2] = [("gemini", "gcp.gemini"), ("xai", "x_ai")];

/// Sends the spans of events that are recorded now.
pub(super) fn send(events: &[(EventId, Event)], context: &Context) {
    if !context.traces.is_on() {
        return;
    }
    let spans = Spans {
        context,
        catalog: &context.policy().config.catalog,
        recorded_at: context.clock.now(),
    };
    for (id, event) in events {
        for span in spans.of_event(id, event) {
            context.traces.send(span);
        }
    }
}

struct Spans<'a> {
    context: &'a Context,
    catalog: &'a Catalog,
    recorded_at: DateTime<Utc>,
}

/// The context that a job or chain came with, and that of its own span.
#[derive(Clone, Copy)]
struct Contexts {
    received: TraceContext,
    own: TraceContext,
}

impl Contexts {
    /// A trace that Longshore began has no earlier span.
    fn parent(self) -> Option<SpanId> {
        (self.own.span != self.received.span).then_some(self.received.span)
    }
}

/// The attributes that are known.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push(KeyValue::new(name, value));
        self
    }

    fn with_some(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    fn with_count(self, name: &'static str, count: u64) -> Self {
        self.with(name, i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// The labels by which spans of jobs are found.
    fn with_labels(self, labels: &JobLabels) -> Self {
        self.with("longshore.job.id", labels.job_id.as_str().to_owned())
            .with("longshore.job.type", labels.task_type.clone())
            .with_some("longshore.tenant", labels.tenant.clone())
            .with_some("longshore.chain.id", labels.chain_id.clone())
            .with_some("longshore.chain.step", labels.step.clone())
    }
}

impl Spans<'_> {
    fn of_event(&self, id: &EventId, event: &Event) -> Vec<Span> {
        let mut spans = Vec::new();
        if let Some((attempt, labels)) = event.labelled_attempt()
            && let Some(contexts) = self.of_job(attempt.traceparent.as_deref(), labels)
        {
            spans.push(self.attempt(attempt, labels, event.job.as_deref(), contexts.own));
        }
        if let Some(job) = &event.job
            && job.state.is_final()
            && let Some(contexts) = self.of_job(job.traceparent.as_deref(), &job.labels)
        {
            spans.extend(self.job(job, contexts));
            spans.push(self.record(id, contexts.own));
        }
        if let Some(chain) = &event.chain
            && let Some(received) = self.sampled(chain.traceparent.as_deref())
        {
            spans.extend(self.chain(&chain.record, received));
        }
        spans
    }

    fn of_job(&self, traceparent: Option<&str>, labels: &JobLabels) -> Option<Contexts> {
        let received = self.sampled(traceparent)?;
        let own = Traced::Job(labels.job_id.as_str()).span(received, self.context);
        Some(Contexts { received, own })
    }

    fn sampled(&self, traceparent: Option<&str>) -> Option<TraceContext> {
        let received = TraceContext::parse(traceparent?)?;
        self.context.traces.samples(&received).then_some(received)
    }

    /// The job from its receipt to its end, and within it the time until its first attempt.
    fn job(&self, job: &JobRecord, contexts: Contexts) -> [Span; 2] {
        let labels = &job.labels;
        let Contexts { received, own } = contexts;
        let queue = labels.queue.as_str();
        let end = job.finished_at.unwrap_or(self.recorded_at);
        let needed = labels.step.as_ref().and(labels.parent_id.as_ref());
        let process = Span {
            kind: SpanKind::Consumer,
            parent: contexts.parent(),
            attributes: Attributes::default()
                .with("messaging.system", "longshore")
                .with("messaging.operation.name", "process")
                .with("messaging.operation.type", "process")
                .with("messaging.destination.name", queue.to_owned())
                .with("messaging.message.id", labels.job_id.as_str().to_owned())
                .with_labels(labels)
                .with("longshore.job.state", job.state.as_str())
                .with_count("longshore.job.attempts", job.attempts.into())
                .0,
            links: needed
                .map(|needed| Traced::Job(needed.as_str()).span(received, self.context))
                .into_iter()
                .collect(),
            error: match job.state {
                JobState::Completed => None,
                _ => job.error_class.clone(),
            },
            ..Span::new(format!("process {queue}"), own, job.enqueued_at, end)
        };
        let first_attempt = job.started_at.unwrap_or(end);
        let queue = Span {
            parent: Some(own.span),
            ..Span::new(
                "queue",
                own.child(&["queue"]),
                job.enqueued_at,
                first_attempt,
            )
        };
        [process, queue]
    }

    /// A call to a provider, by the conventions for generative AI.
    fn attempt(
        &self,
        attempt: &AttemptRecord,
        labels: &JobLabels,
        job: Option<&JobRecord>,
        own: TraceContext,
    ) -> Span {
        let platform = self.catalog.platform(&attempt.platform);
        let provider = PROVIDERS.iter().find(|(name, _)| *name == attempt.platform);
        let provider = provider.map_or(attempt.platform.as_str(), |(_, name)| name);
        let address = platform.map(|platform| &platform.base_url);
        let finish_reason = job
            .and_then(|job| job.finish_reason)
            .filter(|_| attempt.outcome == AttemptOutcome::Completed);
        let finish_reasons = finish_reason
            .map(|reason| Value::Array(Array::String(vec![StringValue::from(reason.as_str())])));
        let usage = &attempt.usage;
        let mut attributes = Attributes::default()
            .with("gen_ai.operation.name", "chat")
            .with("gen_ai.provider.name", provider.to_owned())
            .with("gen_ai.request.model", attempt.model.clone())
            .with_some("gen_ai.response.id", attempt.response_id.clone())
            .with_some("gen_ai.response.finish_reasons", finish_reasons)
            .with_some(
                "server.address",
                address.and_then(|url| url.host_str()).map(str::to_owned),
            )
            .with_some(
                "server.port",
                address
                    .and_then(url::Url::port_or_known_default)
                    .map(i64::from),
            )
            .with_some("http.response.status_code", attempt.status.map(i64::from))
            .with_labels(labels)
            .with_count("longshore.attempt.number", attempt.attempt.into())
            .with("longshore.attempt.outcome", attempt.outcome.as_str())
            .with("longshore.platform", attempt.platform.clone())
            .with("longshore.worker", attempt.worker.to_string())
            .with("longshore.routing.reason", attempt.routing_reason.clone())
            .with_some(
                "longshore.cost_usd",
                attempt.cost_usd.map(|cost| cost.to_string()),
            );
        if *usage != longshore_protocol::call::Usage::default() {
            attributes = attributes
                .with_count("gen_ai.usage.input_tokens", usage.total_input())
                .with_count("gen_ai.usage.output_tokens", usage.total_output())
                .with_count("gen_ai.usage.cache_read.input_tokens", usage.cached)
                .with_count(
                    "gen_ai.usage.cache_creation.input_tokens",
                    usage.cache_write.saturating_add(usage.cache_write_1h),
                )
                .with_count("gen_ai.usage.reasoning.output_tokens", usage.reasoning);
        }
        let id = attempt.attempt_id.to_string();
        // A lost attempt has no known end.
        let end = attempt.finished_at.unwrap_or(attempt.started_at);
        Span {
            kind: SpanKind::Client,
            parent: Some(own.span),
            attributes: attributes.0,
            error: match attempt.outcome {
                AttemptOutcome::Completed => None,
                outcome => Some(
                    attempt
                        .error_class
                        .map_or(outcome.as_str(), |class| class.as_str())
                        .to_owned(),
                ),
            },
            ..Span::new(
                format!("chat {}", attempt.model),
                own.child(&["attempt", &id]),
                attempt.started_at,
                end,
            )
        }
    }

    /// How long the end of a job waited for its record in Postgres.
    fn record(&self, id: &EventId, own: TraceContext) -> Span {
        let appended = i64::try_from(id.ms).ok();
        let appended = appended.and_then(DateTime::from_timestamp_millis);
        let start = appended.unwrap_or(self.recorded_at);
        Span {
            parent: Some(own.span),
            attributes: Attributes::default().with("db.system.name", "postgresql").0,
            ..Span::new("record", own.child(&["record"]), start, self.recorded_at)
        }
    }

    /// A chain from its start to its end.
    fn chain(&self, chain: &ChainRecord, received: TraceContext) -> Option<Span> {
        let id = chain.chain_id.as_str();
        let own = Traced::Chain(id).span(received, self.context);
        let is_completed = chain.state == ChainState::Completed;
        Some(Span {
            parent: Contexts { received, own }.parent(),
            attributes: Attributes::default()
                .with("longshore.chain.id", id.to_owned())
                .with("longshore.chain.state", chain.state.as_str())
                .with_count("longshore.chain.steps", chain.steps)
                .0,
            error: (!is_completed).then(|| chain.state.as_str().to_owned()),
            ..Span::new(
                format!("chain {}", chain.name.as_deref().unwrap_or("unnamed")),
                own,
                DateTime::from_timestamp_millis(chain.begun_ms)?,
                DateTime::from_timestamp_millis(chain.ended_ms?)?,
            )
        })
    }
}

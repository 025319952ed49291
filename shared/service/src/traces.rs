//! Traces: spans over OTLP, as the standard environment variables of OpenTelemetry say.
//!
//! A job moves between processes, and any of them may die before it ends, so no process keeps a span open. The context of a
//! job is a W3C `traceparent`, the ids of its spans follow from that ([`TraceContext`]), and a span is made when it has
//! ended.

mod client;
mod context;
mod settings;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use longshore_settings::Environment;
use opentelemetry::{
    Context, InstrumentationScope, KeyValue,
    trace::{
        Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceId, TraceState,
    },
};
use opentelemetry_sdk::{
    Resource,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingDecision, ShouldSample as _,
        SpanData, SpanLinks, SpanProcessor as _,
    },
};

pub use self::context::TraceContext;
use self::settings::TraceSettings;
use crate::version::VERSION;

pub use opentelemetry;

/// Spans that wait for their export, unless `OTEL_BSP_MAX_QUEUE_SIZE` is set: a second of a busy worker.
const QUEUE: usize = 16_384;

/// How long the export of the last spans may delay the exit.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends spans, or drops them if traces are off.
#[derive(Clone, Default)]
pub struct Traces {
    exporter: Option<Arc<Exporter>>,
}

struct Exporter {
    processor: BatchSpanProcessor,
    sampler: Sampler,
    scope: InstrumentationScope,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() {
            "Traces(on)"
        } else {
            "Traces(off)"
        })
    }
}

/// A span that has ended.
#[derive(Debug)]
pub struct Span {
    /// What happened, in words that few spans differ in.
    pub name: Cow<'static, str>,
    /// Which side of a call it is.
    pub kind: SpanKind,
    /// Its own ids.
    pub context: TraceContext,
    /// The span that it belongs to.
    pub parent: Option<SpanId>,
    /// When it began.
    pub start: DateTime<Utc>,
    /// When it ended.
    pub end: DateTime<Utc>,
    /// What is known of it.
    pub attributes: Vec<KeyValue>,
    /// Spans that it follows from.
    pub links: Vec<TraceContext>,
    /// The class of the error that it ended with.
    pub error: Option<String>,
}

impl Span {
    /// An internal span without a parent.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        context: TraceContext,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> Self {
        Self {
            name: name.into(),
            kind: SpanKind::Internal,
            context,
            parent: None,
            start,
            end,
            attributes: Vec::new(),
            links: Vec::new(),
            error: None,
        }
    }
}

impl Traces {
    /// Traces of this process. Settings that cannot be followed turn them off with a warning: they may be meant for
    /// other programs.
    ///
    /// Call it inside a Tokio runtime, which sends the spans.
    pub fn start(service: &'static str, env: &Environment) -> Self {
        let exporter = TraceSettings::read(service, env)
            .and_then(|settings| settings.map(Exporter::new).transpose());
        match exporter {
            Ok(exporter) => Self {
                exporter: exporter.map(Arc::new),
            },
            Err(reason) => {
                tracing::warn!("traces are off: {reason}");
                Self::default()
            }
        }
    }

    /// Whether spans are sent.
    pub fn is_on(&self) -> bool {
        self.exporter.is_some()
    }

    /// The context of a trace that begins here; `None` if traces are off. The same parts give the same ids.
    pub fn begin(&self, parts: &[&str]) -> Option<TraceContext> {
        let exporter = self.exporter.as_ref()?;
        let context = TraceContext::derive(parts);
        Some(context.with_sampled(exporter.samples(None, context.trace)))
    }

    /// Whether the spans of a trace are sent.
    pub fn samples(&self, context: &TraceContext) -> bool {
        self.exporter
            .as_ref()
            .is_some_and(|exporter| exporter.samples(Some(context), context.trace))
    }

    /// Sends a span of a trace that is sampled. Never blocks.
    pub fn send(&self, span: Span) {
        if let Some(exporter) = &self.exporter {
            exporter.processor.on_end(exporter.data(span));
        }
    }

    /// Sends the last spans.
    pub async fn close(&self) {
        let Some(exporter) = self.exporter.clone() else {
            return;
        };
        let closed = tokio::task::spawn_blocking(move || {
            exporter.processor.shutdown_with_timeout(CLOSE_TIMEOUT)
        });
        if let Ok(Err(error)) = closed.await {
            tracing::warn!("the last spans may be lost: {error}");
        }
    }
}

impl Exporter {
    fn new(settings: TraceSettings) -> Result<Self, String> {
        let exporter = client::exporter(&settings)?;
        let mut batches = BatchConfigBuilder::default();
        if !settings.has_own_queue_size {
            batches = batches.with_max_queue_size(QUEUE);
        }
        let mut processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches.build())
            .build();
        let resource = Resource::builder_empty()
            .with_attributes(settings.resource)
            .build();
        processor.set_resource(&resource);
        tracing::info!(host = settings.host, "traces started");
        Ok(Self {
            processor,
            sampler: settings.sampler,
            scope: InstrumentationScope::builder("longshore")
                .with_version(VERSION.as_str())
                .build(),
        })
    }

    fn samples(&self, parent: Option<&TraceContext>, trace: TraceId) -> bool {
        let parent = parent.map(|parent| Context::new().with_remote_span_context(remote(parent)));
        let kind = SpanKind::Internal;
        let result = self
            .sampler
            .should_sample(parent.as_ref(), trace, "", &kind, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    fn data(&self, span: Span) -> SpanData {
        let mut links = SpanLinks::default();
        links.links = span
            .links
            .iter()
            .map(|link| Link::with_context(remote(link)))
            .collect();
        let status = match &span.error {
            Some(class) => Status::error(class.clone()),
            None => Status::Unset,
        };
        let mut attributes = span.attributes;
        attributes.extend(span.error.map(|class| KeyValue::new("error.type", class)));
        SpanData {
            span_context: remote(&span.context.with_sampled(true)),
            parent_span_id: span.parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: false,
            span_kind: span.kind,
            name: span.name,
            start_time: span.start.into(),
            end_time: span.end.max(span.start).into(),
            attributes,
            dropped_attributes_count: 0,
            events: opentelemetry_sdk::trace::SpanEvents::default(),
            links,
            status,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

fn remote(context: &TraceContext) -> SpanContext {
    let TraceContext { trace, span, flags } = *context;
    SpanContext::new(trace, span, flags, true, TraceState::default())
}

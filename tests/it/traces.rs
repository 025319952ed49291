//! Traces: what an OTLP receiver gets of jobs and chains.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use insta::assert_snapshot;
use longshore_broker::task;
use longshore_protocol::id::JobId;
use longshore_tests::stack::{Options, Stack, eventually};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value as Any},
    trace::v1::{Span, span::SpanKind},
};
use prost::Message as _;
use serde_json::{Value, json};

use crate::simulated::{Model, SimulatedProvider, config_yaml};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PRODUCER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NOT_SAMPLED: &str = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// Receives OTLP over HTTP.
struct Receiver {
    url: String,
    got: Arc<Mutex<Got>>,
}

#[derive(Default)]
struct Got {
    spans: Vec<Received>,
    keys: Vec<String>,
}

#[derive(Clone, Debug)]
struct Received {
    resource: BTreeMap<String, String>,
    span: Span,
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got = Arc::<Mutex<Got>>::default();
        let app = Router::new()
            .route("/v1/traces", post(receive))
            .with_state(got.clone());
        task::spawn("receiver", async move {
            axum::serve(listener, app).await.unwrap();
        });
        Self { url, got }
    }

    /// A stack whose workers send their spans here.
    async fn stack(&self) -> Stack {
        let mut stack = Stack::start(Options::default()).await.unwrap();
        let providers = [
            SimulatedProvider::unlimited("a", Model::Cheap),
            SimulatedProvider::unlimited("b", Model::Dear),
        ];
        let quick = "retry: {max_retries: 1, base_delay: 10ms, max_delay: 20ms, jitter: 0ms}";
        stack
            .config_yaml(&config_yaml(&stack, &providers, quick))
            .unwrap();
        stack.set_env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.url);
        stack.set_env("OTEL_BSP_SCHEDULE_DELAY", "100");
        stack
    }

    fn spans(&self) -> Vec<Received> {
        self.got.lock().unwrap().spans.clone()
    }

    /// The spans of a trace once as many of these names have come.
    async fn trace(&self, trace: &str, awaited: &[(&str, usize)]) -> Vec<Received> {
        eventually("the spans arrive", || async {
            let spans: Vec<Received> = self
                .spans()
                .into_iter()
                .filter(|got| hex(&got.span.trace_id) == trace)
                .collect();
            let have_come = awaited.iter().all(|(name, count)| {
                spans.iter().filter(|got| got.span.name == *name).count() >= *count
            });
            anyhow::ensure!(have_come, "{}", tree(&spans));
            Ok(spans)
        })
        .await
        .unwrap()
    }
}

async fn receive(State(got): State<Arc<Mutex<Got>>>, headers: HeaderMap, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut got = got.lock().unwrap();
    let key = headers.get("api-key").map(|key| key.to_str().unwrap());
    got.keys.push(key.unwrap_or_default().to_owned());
    for of_resource in request.resource_spans {
        let resource = attributes(&of_resource.resource.unwrap().attributes);
        let spans = of_resource.scope_spans.into_iter();
        got.spans
            .extend(spans.flat_map(|scope| scope.spans).map(|span| Received {
                resource: resource.clone(),
                span,
            }));
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn text(value: &AnyValue) -> String {
    match value.value.as_ref().unwrap() {
        Any::StringValue(text) => text.clone(),
        Any::IntValue(number) => number.to_string(),
        Any::ArrayValue(list) => {
            let values: Vec<String> = list.values.iter().map(text).collect();
            format!("[{}]", values.join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn attributes(list: &[KeyValue]) -> BTreeMap<String, String> {
    list.iter()
        .map(|pair| (pair.key.clone(), text(pair.value.as_ref().unwrap())))
        .collect()
}

fn attribute(got: &Received, name: &str) -> Option<String> {
    attributes(&got.span.attributes).remove(name)
}

/// The spans below each other. `queue` and the stages come before what they lead to, by name.
fn tree(spans: &[Received]) -> String {
    let known = |id: &[u8]| spans.iter().any(|got| got.span.span_id == id);
    let mut lines = String::new();
    let mut roots: Vec<&Received> = spans
        .iter()
        .filter(|got| !known(&got.span.parent_span_id))
        .collect();
    roots.sort_by_key(|got| {
        (
            got.span.name.clone(),
            attribute(got, "longshore.chain.step"),
        )
    });
    for root in roots {
        add_lines(&mut lines, 0, root, spans);
    }
    lines
}

fn add_lines(lines: &mut String, depth: usize, got: &Received, all: &[Received]) {
    let span = &got.span;
    let kind = SpanKind::try_from(span.kind).unwrap().as_str_name();
    let kind = kind.trim_start_matches("SPAN_KIND_").to_lowercase();
    let mut notes = vec![kind];
    let parent = hex(&span.parent_span_id);
    if depth == 0 {
        notes.push(match parent.as_str() {
            "" => "no parent".to_owned(),
            id => format!("parent {id}"),
        });
    }
    notes.extend(attribute(got, "error.type").map(|class| format!("error {class}")));
    notes.extend(attribute(got, "longshore.chain.step").map(|step| format!("step {step}")));
    for link in &span.links {
        let to = all.iter().find(|got| got.span.span_id == link.span_id);
        let step = to.and_then(|got| attribute(got, "longshore.chain.step"));
        notes.push(format!("follows {}", step.unwrap_or_default()));
    }
    writeln!(
        lines,
        "{}{} ({})",
        "  ".repeat(depth),
        span.name,
        notes.join(", ")
    )
    .unwrap();
    let mut below: Vec<&Received> = all
        .iter()
        .filter(|other| other.span.parent_span_id == span.span_id)
        .collect();
    below.sort_by_key(|got| {
        let number = attribute(got, "longshore.attempt.number");
        let step = attribute(got, "longshore.chain.step");
        (step, got.span.name.clone(), number)
    });
    for other in below {
        add_lines(lines, depth + 1, other, all);
    }
}

async fn send(stack: &Stack, job: Value) -> JobId {
    let ids = stack.enqueue(&[job.to_string()]).await.unwrap();
    let own = job
        .get("id")
        .and_then(Value::as_str)
        .map(|id| JobId::parse(id).unwrap());
    own.unwrap_or_else(|| ids.into_iter().next().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_one_trace_from_its_producer_to_the_ledger() {
    let receiver = Receiver::start().await;
    let mut stack = receiver.stack().await;
    stack.set_env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k%20key");
    stack.set_env(
        "OTEL_RESOURCE_ATTRIBUTES",
        "deployment.environment.name=test",
    );
    let _worker = stack.worker().unwrap();
    let job = json!({
        "id": "one", "type": "research", "tenant": "acme", "traceparent": PRODUCER,
        "prompt": "[[fail_first=1:503]] [[tokens=100,40]] the secret plan", "platform": "a",
    });
    let id = send(&stack, job).await;
    let outcome = stack.outcome(&id).await.unwrap();
    assert!(outcome.success, "{outcome:?}");

    let awaited = [("settle", 1), ("record", 1)];
    let spans = receiver.trace(TRACE, &awaited).await;
    assert_snapshot!(tree(&spans), @"
    process default (consumer, parent b7ad6b7169203331)
      chat gpt-4o-mini (client, error overloaded)
      chat gpt-4o-mini (client)
      queue (internal)
      record (internal)
      reserve (internal)
      reserve (internal)
      route (internal)
      route (internal)
      settle (internal)
    ");
    let chat = spans
        .iter()
        .find(|got| {
            got.span.name.starts_with("chat") && got.span.status.as_ref().unwrap().code == 0
        })
        .unwrap();
    let mut known = attributes(&chat.span.attributes);
    for name in ["gen_ai.response.id", "longshore.worker", "server.port"] {
        assert!(
            known.remove(name).is_some_and(|value| !value.is_empty()),
            "{name}"
        );
    }
    let known: Vec<String> = known.iter().map(|(k, v)| format!("{k}: {v}")).collect();
    assert_snapshot!(known.join("\n"), @"
    gen_ai.operation.name: chat
    gen_ai.provider.name: a
    gen_ai.request.model: gpt-4o-mini
    gen_ai.response.finish_reasons: [stop]
    gen_ai.usage.cache_creation.input_tokens: 0
    gen_ai.usage.cache_read.input_tokens: 0
    gen_ai.usage.input_tokens: 100
    gen_ai.usage.output_tokens: 40
    gen_ai.usage.reasoning.output_tokens: 0
    longshore.attempt.number: 2
    longshore.attempt.outcome: completed
    longshore.cost_usd: 0.000039
    longshore.job.id: one
    longshore.job.type: research
    longshore.platform: a
    longshore.routing.reason: platform hinted by the job
    longshore.tenant: acme
    server.address: 127.0.0.1
    ");
    for got in &spans {
        assert!(
            got.span.start_time_unix_nano <= got.span.end_time_unix_nano,
            "{got:?}"
        );
        assert_eq!(got.resource["service.name"], "longshore-worker");
        assert_eq!(got.resource["deployment.environment.name"], "test");
        assert!(!format!("{got:?}").contains("secret plan"), "{got:?}");
    }
    let keys = receiver.got.lock().unwrap().keys.clone();
    assert!(keys.iter().all(|key| key == "k key"), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_context_begins_a_trace() {
    let receiver = Receiver::start().await;
    let mut stack = receiver.stack().await;
    stack.set_env("OTEL_SERVICE_NAME", "shop-worker");
    let _worker = stack.worker().unwrap();
    let id = send(&stack, json!({"id": "nightly", "prompt": "x"})).await;
    stack.successes(std::slice::from_ref(&id)).await.unwrap();
    stack.recorded().await.unwrap();
    let shown = stack
        .longshore(&["jobs", "show", "nightly", "--format", "json"])
        .await
        .unwrap();
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let context = shown["record"]["traceparent"].as_str().unwrap();
    let mut parts = context.split('-').skip(1);
    let (trace, span) = (parts.next().unwrap(), parts.next().unwrap());
    let spans = receiver.trace(trace, &[("record", 1)]).await;
    let root = spans
        .iter()
        .find(|got| got.span.name == "process default")
        .unwrap();
    assert_eq!(hex(&root.span.span_id), span);
    assert!(root.span.parent_span_id.is_empty());
    assert_eq!(root.resource["service.name"], "shop-worker");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_a_chain_share_its_trace() {
    let receiver = Receiver::start().await;
    let stack = receiver.stack().await;
    let _worker = stack.worker().unwrap();
    let chain = json!({"id": "report", "name": "report", "traceparent": PRODUCER, "reply": true, "steps": [
        {"name": "read", "prompt": "x"},
        {"name": "write", "prompt": "about {{ steps.read.output }}", "needs": ["read"]},
        {"name": "split", "prompt": "[[echo=[\"one\", \"two\"]]]", "spawn": true, "needs": ["write"]},
    ]});
    stack.xadd(&[("chain", &chain.to_string())]).await.unwrap();
    let awaited = [("record", 5), ("chain report", 1)];
    let spans = receiver.trace(TRACE, &awaited).await;
    let jobs: Vec<Received> = spans
        .into_iter()
        .filter(|got| got.span.name.starts_with("chain") || got.span.name.starts_with("process"))
        .collect();
    assert_snapshot!(tree(&jobs), @"
    chain report (internal, parent b7ad6b7169203331)
      process default (consumer, step read)
      process default (consumer, step split, follows write)
      process default (consumer, step split/0, follows split)
      process default (consumer, step split/1, follows split)
      process default (consumer, step write, follows read)
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_is_not_sampled_sends_nothing() {
    let receiver = Receiver::start().await;
    let stack = receiver.stack().await;
    let _worker = stack.worker().unwrap();
    let unsampled = send(&stack, json!({"prompt": "x", "traceparent": NOT_SAMPLED})).await;
    stack.successes(&[unsampled]).await.unwrap();
    let sampled = send(&stack, json!({"prompt": "x", "traceparent": PRODUCER})).await;
    stack.successes(&[sampled]).await.unwrap();
    receiver.trace(TRACE, &[("record", 1)]).await;
    let traces: Vec<String> = receiver
        .spans()
        .iter()
        .map(|got| hex(&got.span.trace_id))
        .collect();
    assert!(traces.iter().all(|trace| trace == TRACE), "{traces:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_its_worker_did_not_survive_has_a_span() {
    let receiver = Receiver::start().await;
    let stack = receiver.stack().await;
    let _scheduler = stack.scheduler().unwrap();
    let mut worker = stack.worker().unwrap();
    let id = send(
        &stack,
        json!({"prompt": "[[hold]] x", "traceparent": PRODUCER}),
    )
    .await;
    stack.wait_for_calls(1).await.unwrap();
    worker.kill().unwrap();
    stack.simulator.release();
    let _other = stack.worker().unwrap();
    stack.successes(&[id]).await.unwrap();
    let spans = receiver.trace(TRACE, &[("record", 1)]).await;
    let errors: Vec<Option<String>> = spans
        .iter()
        .filter(|got| got.span.name.starts_with("chat"))
        .map(|got| attribute(got, "error.type"))
        .collect();
    assert!(
        errors.contains(&Some("lost".to_owned())),
        "{}",
        tree(&spans)
    );
    assert!(errors.contains(&None), "{}", tree(&spans));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_followed_and_a_collector_that_is_away_stop_no_job() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    stack.set_env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    let mut away = stack.worker().unwrap();
    let first = send(&stack, json!({"prompt": "x"})).await;
    stack.successes(&[first]).await.unwrap();
    away.stop(Duration::from_secs(30)).await.unwrap();

    stack.set_env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let worker = stack.worker().unwrap();
    let second = send(&stack, json!({"prompt": "x"})).await;
    stack.successes(&[second]).await.unwrap();
    let log = std::fs::read_to_string(worker.log()).unwrap();
    let warning =
        "traces are off: OTEL_EXPORTER_OTLP_PROTOCOL is `grpc`; Longshore sends http/protobuf";
    assert!(log.contains(warning), "{log}");
}

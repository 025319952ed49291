//! What `/metrics` of a busy worker and of the leading scheduler shows.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use longshore_protocol::money::Usd;
use longshore_service::instruments::{ALL, Metric, MetricKind, Process as Exporter};
use longshore_simulator::Faults;
use longshore_tests::stack::{Options, Stack, eventually};
use serde_json::json;

use crate::{
    service::Service,
    simulated::{Model, SimulatedProvider, config_yaml},
};

/// A line of the text format: name, names of labels, labels, value.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: String,
}

/// The samples of a scrape. The labels of these tests need no escapes.
fn samples(text: &str) -> Vec<Sample> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels.trim_end_matches('}')),
                None => (series, ""),
            };
            let labels = labels.split_terminator(',').map(|pair| {
                let (name, value) = pair.split_once('=').unwrap();
                (name.to_owned(), value.trim_matches('"').to_owned())
            });
            Sample {
                name: name.to_owned(),
                labels: labels.collect(),
                value: value.to_owned(),
            }
        })
        .collect()
}

/// The values of a metric whose labels are these and perhaps others.
fn values(text: &str, name: &str, labels: &[(&str, &str)]) -> Vec<String> {
    let wanted = |sample: &Sample| {
        let has = |(name, value): &(&str, &str)| {
            let mut of = sample.labels.iter();
            of.any(|(other, of)| other == name && of == value)
        };
        sample.name == name && labels.iter().all(has)
    };
    let found = samples(text).into_iter().filter(wanted);
    found.map(|sample| sample.value).collect()
}

/// Checks that each sample is of a metric of the reference, from this process, with its labels.
fn check_against_reference(text: &str, exporter: Exporter) {
    let of_histogram = ["_bucket", "_sum", "_count"];
    for Sample { name, labels, .. } in samples(text) {
        let is_of = |metric: &&Metric| match metric.kind {
            MetricKind::Histogram => of_histogram
                .iter()
                .any(|suffix| name.strip_suffix(suffix) == Some(metric.name)),
            MetricKind::Counter | MetricKind::Gauge => name == metric.name,
        };
        let metric = ALL.iter().find(is_of);
        let metric = metric.with_context(|| format!("{name} is not in the reference"));
        let metric = metric.unwrap();
        assert!(
            [exporter, Exporter::Both].contains(&metric.process),
            "{metric:?} from the other process"
        );
        let names = labels.iter().map(|(name, _)| name.as_str());
        let names: BTreeSet<&str> = names.filter(|name| *name != "le").collect();
        let expected: BTreeSet<&str> = metric.labels.iter().copied().collect();
        assert_eq!(names, expected, "{name}");
    }
}

/// Runs Prometheus' own check, where it is installed.
fn lint(text: &str) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    // Without it, the tests of the names of metrics remain.
    let Ok(mut promtool) = promtool else { return };
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let ended = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.is_empty(), "{said}");
}

/// A stack with the cheap provider `a`, which has a daily limit, and the dear provider `b`.
async fn stack() -> Stack {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    stack.set_env("LONGSHORE_LISTEN", "127.0.0.1:0");
    let providers = [
        SimulatedProvider::limited("a", Model::Cheap, "{requests_per_day: 8}"),
        SimulatedProvider::unlimited("b", Model::Dear),
    ];
    let rest =
        "retry: {max_retries: 0}\nrouting: {rules: [{name: r, type: [poems], tier: standard}]}";
    let yaml = config_yaml(&stack, &providers, rest);
    stack.config_yaml(&yaml).unwrap();
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_counts_jobs_attempts_tokens_and_dollars() {
    let stack = stack().await;
    let worker = Service::ready(stack.worker().unwrap()).await;
    let job = |kind: &str, platform: &str| {
        json!({"prompt": "[[tokens=100,50]] x", "type": kind, "platform": platform, "fallback": false}).to_string()
    };
    let jobs = [job("research", "a"), job("poems", "a"), job("own/1", "b")];
    let ids = stack.enqueue(&jobs).await.unwrap();
    stack.successes(&ids).await.unwrap();
    let down = Faults {
        rate_503: 1.0,
        ..Faults::default()
    };
    stack.simulator.set_faults(Some("b"), down).unwrap();
    let ids = stack.enqueue(&[job("research", "b")]).await.unwrap();
    stack.outcomes(&ids).await.unwrap();

    let text = eventually("all is counted", || async {
        let text = worker.get("metrics").await?;
        let failed = [("outcome", "discarded")];
        ensure!(
            values(&text, "longshore_jobs_total", &failed) == ["1"],
            "{text}"
        );
        Ok(text)
    })
    .await
    .unwrap();
    check_against_reference(&text, Exporter::Worker);
    lint(&text);
    let is = |name: &str, labels: &[(&str, &str)], expected: &str| {
        assert_eq!(
            values(&text, name, labels),
            [expected],
            "{name} {labels:?}\n{text}"
        );
    };
    for kind in ["poems", "other"] {
        let labels = [
            ("queue", "default"),
            ("type", kind),
            ("outcome", "completed"),
        ];
        is("longshore_jobs_total", &labels, "1");
    }
    is(
        "longshore_job_duration_seconds_count",
        &[("outcome", "completed")],
        "3",
    );
    is("longshore_job_wait_seconds_count", &[], "4");
    is(
        "longshore_attempts_total",
        &[("platform", "a"), ("outcome", "completed")],
        "2",
    );
    is(
        "longshore_attempts_total",
        &[("outcome", "failed"), ("error_class", "overloaded")],
        "1",
    );
    is(
        "longshore_tokens_total",
        &[("platform", "a"), ("direction", "input")],
        "200",
    );
    is(
        "longshore_tokens_total",
        &[("platform", "b"), ("direction", "output")],
        "50",
    );
    let costs = values(&text, "longshore_cost_usd_total", &[]);
    let cost: Usd = costs.iter().map(|cost| cost.parse::<Usd>().unwrap()).sum();
    stack.recorded().await.unwrap();
    let books = stack.books().await.unwrap();
    let billed: Usd = books
        .invoice
        .iter()
        .map(|bill| bill.cost_usd.parse::<Usd>().unwrap())
        .sum();
    assert_eq!(cost, billed);
    books.balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leading_scheduler_shows_queues_limits_and_the_lag() {
    let stack = stack().await;
    let worker = Service::ready(stack.worker().unwrap()).await;
    let held = json!({"prompt": "[[hold]] x", "platform": "a"}).to_string();
    stack.enqueue(&[held.clone(), held]).await.unwrap();
    stack.wait_for_calls(2).await.unwrap();
    drop(worker);
    let delayed = json!({"prompt": "x", "delay": 3600}).to_string();
    let later = stack.enqueue(&[delayed]).await.unwrap();
    let scheduler = Service::ready(stack.scheduler().unwrap()).await;
    // Its jobs are recovered, and the gauges are set, without a worker.
    let text = eventually("the gauges show the queue", || async {
        let text = scheduler.get("metrics").await?;
        let is = |name: &str, expected: &str| {
            let found = values(&text, name, &[("queue", "default")]);
            found.first().is_some_and(|value| value == expected)
        };
        // The scheduler may read the events before it recovers the jobs, and the queue after that.
        let unrecorded = values(&text, "longshore_events_unrecorded", &[]);
        ensure!(
            is("longshore_queue_depth", "3")
                && is("longshore_queue_running", "0")
                && unrecorded.first().is_some_and(|count| count != "0"),
            "{text}"
        );
        Ok(text)
    })
    .await
    .unwrap();
    check_against_reference(&text, Exporter::Leader);
    lint(&text);
    let value = |name: &str, labels: &[(&str, &str)]| {
        let found = values(&text, name, labels);
        let first = found.first().with_context(|| format!("{name}\n{text}"));
        first.unwrap().clone()
    };
    let number =
        |name: &str, labels: &[(&str, &str)]| -> f64 { value(name, labels).parse().unwrap() };
    assert!(
        number(
            "longshore_queue_oldest_age_seconds",
            &[("queue", "default")]
        ) > 0.0
    );
    assert!(number("longshore_ledger_lag_seconds", &[]) > 0.0);
    assert_eq!(value("longshore_dead_letters", &[]), "0");
    // Two of eight calls a day, whose results are unknown.
    let used = value("longshore_quota_used_ratio", &[("meter", "rpd:a")]);
    assert_eq!(used, "0.25");

    let _worker = stack.worker().unwrap();
    eventually("a delayed job is shown as scheduled", || async {
        let text = scheduler.get("metrics").await?;
        ensure!(
            values(&text, "longshore_jobs_scheduled", &[]) == ["1"],
            "{text}"
        );
        ensure!(
            values(&text, "longshore_events_unrecorded", &[]) == ["0"],
            "{text}"
        );
        Ok(())
    })
    .await
    .unwrap();
    drop(later);
    stack.simulator.release();
}

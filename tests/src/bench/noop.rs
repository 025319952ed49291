//! A worker whose provider answers at once: all of Longshore, and nothing of HTTP.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::future::BoxFuture;
use hdrhistogram::Histogram;
use longshore_protocol::call::{Answer, Call, CallError, FinishReason, ReportedLimits, Usage};
use longshore_service::{startup::Service, traces::Traces};
use longshore_worker::{Policies, Policy, Registry, Worker, provider::Provider};
use serde::{Deserialize, Serialize};

/// The prefix of a prompt before its enqueueing time.
const STAMP: &str = "enqueued at ";

/// Options of the no-op worker.
#[derive(Debug, clap::Args)]
pub struct NoopOptions {
    /// The file for the delays of stamped jobs from enqueueing to the provider, written at the end.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// The delays of stamped jobs, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Delays {
    pub(super) count: u64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Delays {
    /// The delays in a histogram of nanoseconds.
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        let ms = |nanoseconds: u64| Duration::from_nanos(nanoseconds).as_secs_f64() * 1000.0;
        Self {
            count: histogram.len(),
            p50: ms(histogram.value_at_quantile(0.5)),
            p90: ms(histogram.value_at_quantile(0.9)),
            p99: ms(histogram.value_at_quantile(0.99)),
            max: ms(histogram.max()),
        }
    }
}

/// An empty histogram of delays up to a minute, in nanoseconds.
pub(super) fn delays() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(60_000_000_000, 3)?)
}

/// Nanoseconds since the epoch, on the clock that all processes of this machine share.
pub(super) fn nanoseconds() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A job that contains its enqueueing time, now.
pub(super) fn stamped_message() -> String {
    format!(
        r#"{{"type":"research","prompt":"{STAMP}{}"}}"#,
        nanoseconds()
    )
}

/// Answers at once.
struct Noop {
    delays: Option<Mutex<Histogram<u64>>>,
}

/// Records the delay of a stamped job.
fn look(call: &Call, delays: &Mutex<Histogram<u64>>) {
    let arrived = nanoseconds();
    let last = call.messages.last();
    let stamp = last.and_then(|message| message.text().strip_prefix(STAMP)?.parse::<u64>().ok());
    if let Some(enqueued) = stamp {
        let mut delays = delays.lock().unwrap_or_else(PoisonError::into_inner);
        delays.saturating_record(arrived.saturating_sub(enqueued));
    }
}

impl Provider for Noop {
    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, CallError>> {
        if let Some(delays) = &self.delays {
            look(call, delays);
        }
        Box::pin(async {
            Ok(Answer {
                output: "Red, yellow and blue.".to_owned(),
                tool_calls: Vec::new(),
                logprobs: None,
                finish_reason: FinishReason::Stop,
                usage: Usage {
                    input: 20,
                    output: 6,
                    ..Usage::default()
                },
                model: None,
                response_id: None,
                reported_cost: None,
                room: ReportedLimits::default(),
            })
        })
    }
}

/// Runs the worker until SIGTERM, with the setup of `longshore-worker`.
pub async fn noop_worker(options: NoopOptions) -> anyhow::Result<()> {
    let Some(service) = Service::start("worker", None, 4).await? else {
        return Ok(());
    };
    let noop = Arc::new(Noop {
        delays: match options.report {
            Some(_) => Some(Mutex::new(delays()?)),
            None => None,
        },
    });
    let provider: Arc<dyn Provider> = noop.clone();
    let providers = Registry::with(&service.config.catalog, &provider);
    let policy = Policy::new(service.config.clone(), providers);
    let worker = Worker::new(
        Policies::fixed(policy),
        service.broker.clone(),
        Some(service.ledger.clone()),
        service.health.clone(),
        Traces::default(),
    )
    .await?;
    worker
        .run(service.stop.clone(), service.stop_now.clone())
        .await?;
    if let (Some(file), Some(delays)) = (options.report, &noop.delays) {
        let delays = Delays::of(&delays.lock().unwrap_or_else(PoisonError::into_inner));
        fs::write(file, serde_json::to_string(&delays)?)?;
    }
    Ok(())
}

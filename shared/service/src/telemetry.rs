//! Logs and metrics: one log line per event on stderr, one Prometheus recorder per process.

use std::{fmt, io::IsTerminal, time::Duration};

use longshore_protocol::string_enum;
use longshore_settings::Environment;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Json, Writer},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::instruments;

/// Upper bounds of the buckets of durations, in seconds: from a Redis command to a long answer.
const SECONDS: [f64; 18] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 120.0, 300.0,
];

/// The recorder's maintenance: without it, histogram samples accumulate between two scrapes.
const MAINTENANCE_EVERY: Duration = Duration::from_secs(1);

/// The service whose gauges only the leader updates.
const SCHEDULER: &str = "scheduler";

/// How long a gauge is shown after its last update: another scheduler may lead now, or the configuration has what it
/// measures no longer.
const GAUGE_LIFETIME: Duration = Duration::from_mins(1);

string_enum! {
    /// The format of log lines.
    LogFormat {
        /// Readable lines.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Which events are logged, as a filter of `tracing`. Default `info`.
    pub filter: String,
    /// Default: text if stderr is a terminal, JSON otherwise.
    pub format: LogFormat,
}

/// Why logs or metrics cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `LONGSHORE_LOG` is invalid.
    #[error(
        "LONGSHORE_LOG is `{filter}`, which is not valid ({reason}); expected a level (error, warn, info, debug, trace) or a list such as info,longshore_worker=debug"
    )]
    Filter {
        /// The value.
        filter: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// `LONGSHORE_LOG_FORMAT` is invalid.
    #[error("LONGSHORE_LOG_FORMAT is `{0}`; expected text or json")]
    Format(String),
    /// The process has set them up before.
    #[error("logs or metrics are already set up: {0}")]
    AlreadySetUp(String),
}

impl LogSettings {
    /// Reads `LONGSHORE_LOG` and `LONGSHORE_LOG_FORMAT`.
    pub fn read(env: &Environment) -> Result<Self, TelemetryError> {
        let format = match env.get("LONGSHORE_LOG_FORMAT") {
            None if std::io::stderr().is_terminal() => LogFormat::Text,
            None => LogFormat::Json,
            Some(name) => LogFormat::from_name(&name.to_ascii_lowercase())
                .ok_or_else(|| TelemetryError::Format(name.chars().take(40).collect()))?,
        };
        Ok(Self {
            filter: env.get("LONGSHORE_LOG").unwrap_or("info").to_owned(),
            format,
        })
    }

    fn filter(&self) -> Result<EnvFilter, TelemetryError> {
        EnvFilter::builder()
            .parse(&self.filter)
            .map_err(|error| TelemetryError::Filter {
                filter: self.filter.clone(),
                reason: error.to_string(),
            })
    }
}

/// Starts the logs and the metrics of this process. JSON lines contain the name of the service.
///
/// Call it inside a Tokio runtime, which runs the maintenance of the metrics.
pub fn init(
    service: &'static str,
    settings: &LogSettings,
) -> Result<PrometheusHandle, TelemetryError> {
    let filter = settings.filter()?;
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .fmt_fields(tracing_subscriber::fmt::format::JsonFields::new())
            .event_format(JsonWithService::new(service))
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()
        .map_err(|error| TelemetryError::AlreadySetUp(error.to_string()))?;
    metrics_recorder(service)
}

fn metrics_recorder(service: &str) -> Result<PrometheusHandle, TelemetryError> {
    let is_scheduler = service == SCHEDULER;
    let recorder = builder(GAUGE_LIFETIME)?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|error| TelemetryError::AlreadySetUp(error.to_string()))?;
    instruments::describe_all(is_scheduler);
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let handle = handle.clone();
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(MAINTENANCE_EVERY).await;
                handle.run_upkeep();
            }
        });
    }
    Ok(handle)
}

/// Metrics whose names end in `_seconds` are histograms. Gauges vanish when they were not updated for so long.
fn builder(gauge_lifetime: Duration) -> Result<PrometheusBuilder, TelemetryError> {
    PrometheusBuilder::new()
        .idle_timeout(MetricKindMask::GAUGE, Some(gauge_lifetime))
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .map_err(|error| TelemetryError::AlreadySetUp(error.to_string()))
}

/// Writes JSON lines that begin with the name of the service.
struct JsonWithService {
    service: &'static str,
    json: Format<Json>,
}

impl JsonWithService {
    fn new(service: &'static str) -> Self {
        Self {
            service,
            json: tracing_subscriber::fmt::format().json().flatten_event(true),
        }
    }
}

impl<S, N> FormatEvent<S, N> for JsonWithService
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.json
            .format_event(context, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            Some(rest) => write!(to, "{{\"service\":\"{}\",{rest}", self.service),
            None => to.write_str(&line),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Instant,
    };

    use super::*;

    #[test]
    fn settings_come_from_the_environment() {
        let read = |pairs: &[(&str, &str)]| {
            LogSettings::read(&Environment::from_pairs(pairs.iter().copied()))
        };
        let settings = read(&[
            ("LONGSHORE_LOG", "debug,redis=warn"),
            ("LONGSHORE_LOG_FORMAT", "TEXT"),
        ])
        .unwrap();
        assert_eq!(settings.filter, "debug,redis=warn");
        assert_eq!(settings.format, LogFormat::Text);
        assert_eq!(read(&[]).unwrap().filter, "info");
        assert_eq!(
            read(&[("LONGSHORE_LOG_FORMAT", "xml")])
                .unwrap_err()
                .to_string(),
            "LONGSHORE_LOG_FORMAT is `xml`; expected text or json"
        );
    }

    #[test]
    fn an_invalid_filter_is_rejected() {
        let settings = LogSettings {
            filter: "worker=loud".to_owned(),
            format: LogFormat::Json,
        };
        let error = settings.filter().unwrap_err().to_string();
        assert!(
            error.starts_with("LONGSHORE_LOG is `worker=loud`, which is not valid"),
            "{error}"
        );
    }

    #[test]
    fn json_lines_contain_the_service() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&written);
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || Shared(Arc::clone(&to)))
            .fmt_fields(tracing_subscriber::fmt::format::JsonFields::new())
            .event_format(JsonWithService::new("worker"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(jobs = 3, "started");
        });
        let bytes = written.lock().unwrap().clone();
        let line: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(line["service"], "worker");
        assert_eq!(line["message"], "started");
        assert_eq!(line["jobs"], 3);
        assert_eq!(line["level"], "INFO");
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_gauge_that_is_no_longer_updated_vanishes() {
        let recorder = builder(Duration::from_millis(200))
            .unwrap()
            .build_recorder();
        let handle = recorder.handle();
        let shown = || {
            metrics::with_local_recorder(&recorder, || {
                metrics::gauge!("updated").set(1.0);
                metrics::counter!("counted").increment(1);
            });
            let text = handle.render();
            assert!(text.contains("updated 1"), "{text}");
            assert!(text.contains("counted "), "{text}");
            text.contains("removed 7")
        };
        metrics::with_local_recorder(&recorder, || metrics::gauge!("removed").set(7.0));
        assert!(shown());
        let begun = Instant::now();
        while shown() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it stays");
            std::thread::yield_now();
        }
    }

    #[test]
    fn durations_are_histograms() {
        let recorder = builder(GAUGE_LIFETIME).unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("longshore_attempt_duration_seconds").record(0.7);
            metrics::counter!("longshore_jobs_total").increment(2);
        });
        let text = recorder.handle().render();
        assert!(
            text.contains("longshore_attempt_duration_seconds_bucket{le=\"1\"} 1"),
            "{text}"
        );
        assert!(text.contains("longshore_jobs_total 2"), "{text}");
    }
}

//! Says over HTTP whether this process lives, is ready, and how it fares.
//!
//! A *loop* is registered with the time within which it must beat again: one that falls silent has hung,
//! and only a restart helps (`/live`). A *dependency* is not registered: it is well after `beat` and ill
//! after `fail`, and a restart would not help (`/ready`).

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::State, http::StatusCode, http::header, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::{net::TcpListener, task::JoinHandle};

/// How the parts of a process fare; clones share it.
#[derive(Debug, Clone)]
pub struct HealthState {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    service: &'static str,
    started: Instant,
    state: Mutex<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    checks: BTreeMap<String, Check>,
    /// Whether a loop was registered yet.
    registered: bool,
    draining: bool,
}

#[derive(Debug)]
struct Check {
    /// The last sign of progress; at first, when it was registered.
    progress: Instant,
    /// Whether there was a sign of progress yet.
    begun: bool,
    /// A loop's time limit; dependencies have none.
    stale_after: Option<Duration>,
    error: Option<String>,
    /// Whether the error keeps nothing from working.
    harmless: bool,
}

/// How a process fares.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// Which service this is.
    pub service: &'static str,
    /// Seconds since its start.
    pub uptime_seconds: u64,
    /// Whether every loop makes progress.
    pub live: bool,
    /// Whether it can work: live, begun, not draining, and no dependency ill.
    pub ready: bool,
    /// Whether it is stopping.
    pub draining: bool,
    /// Each part.
    pub checks: BTreeMap<String, CheckHealth>,
}

/// How one part fares.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckHealth {
    /// `ok`, `starting`, `warning`, `failed` or `stale`.
    pub status: &'static str,
    /// Seconds since the last sign of progress.
    pub seconds_since_progress: f64,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl HealthState {
    /// The health of a process that has just started.
    pub fn new(service: &'static str) -> Self {
        Self {
            inner: Arc::new(Inner {
                service,
                started: Instant::now(),
                state: Mutex::default(),
            }),
        }
    }

    /// Registers a loop that must beat every `stale_after`. Until it first beats, the process is not
    /// ready.
    pub fn register(&self, name: &str, stale_after: Duration) {
        let check = Check::new(Some(stale_after));
        let mut parts = self.parts();
        parts.registered = true;
        parts.checks.insert(name.to_owned(), check);
    }

    /// A loop made progress, or a dependency answered; an earlier failure is over.
    pub fn beat(&self, name: &str) {
        let mut parts = self.parts();
        let check = parts.check(name);
        check.progress = Instant::now();
        check.begun = true;
        check.error = None;
    }

    /// Something is to be looked at, but the process works on as before. `text` is shown: no keys.
    pub fn warn(&self, name: &str, text: impl Into<String>) {
        let mut parts = self.parts();
        let check = parts.check(name);
        check.error = Some(text.into());
        check.harmless = true;
    }

    /// A loop or a dependency failed, until its next beat. A loop that fails and tries again is not
    /// stuck, so this counts as progress for a loop. `text` is shown: no keys.
    pub fn fail(&self, name: &str, text: impl Into<String>) {
        let mut parts = self.parts();
        let check = parts.check(name);
        if check.stale_after.is_some() {
            check.progress = Instant::now();
        }
        check.error = Some(text.into());
        check.harmless = false;
    }

    /// A loop ended as it should, and need not beat any more.
    pub fn retire(&self, name: &str) {
        self.parts().checks.remove(name);
    }

    /// The process is stopping: it lives, but is not ready for more.
    pub fn drain(&self) {
        self.parts().draining = true;
    }

    /// How the process fares now.
    pub fn health(&self) -> Health {
        self.health_at(Instant::now())
    }

    fn health_at(&self, now: Instant) -> Health {
        let parts = self.parts();
        let checks: BTreeMap<String, CheckHealth> = parts
            .checks
            .iter()
            .map(|(name, check)| (name.clone(), check.health_at(now)))
            .collect();
        let live = checks.values().all(|check| check.status != "stale");
        // Before a loop is registered a process does nothing yet.
        let well = parts.registered && checks.values().all(CheckHealth::is_well);
        Health {
            service: self.inner.service,
            uptime_seconds: now.saturating_duration_since(self.inner.started).as_secs(),
            live,
            ready: well && !parts.draining,
            draining: parts.draining,
            checks,
        }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // No panic leaves the map half changed.
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    fn check(&mut self, name: &str) -> &mut Check {
        self.checks
            .entry(name.to_owned())
            .or_insert_with(|| Check::new(None))
    }
}

impl Check {
    fn new(stale_after: Option<Duration>) -> Self {
        Self {
            progress: Instant::now(),
            begun: false,
            stale_after,
            error: None,
            harmless: false,
        }
    }

    fn health_at(&self, now: Instant) -> CheckHealth {
        let silent = now.saturating_duration_since(self.progress);
        let status = match self {
            _ if self.stale_after.is_some_and(|limit| silent > limit) => "stale",
            Self {
                error: Some(_),
                harmless: true,
                ..
            } => "warning",
            Self { error: Some(_), .. } => "failed",
            Self { begun: false, .. } => "starting",
            _ => "ok",
        };
        CheckHealth {
            status,
            seconds_since_progress: (silent.as_secs_f64() * 10.0).round() / 10.0,
            error: self.error.clone(),
        }
    }
}

impl CheckHealth {
    fn is_well(&self) -> bool {
        matches!(self.status, "ok" | "warning")
    }
}

impl Health {
    /// Why the process is not live, one part a line.
    fn not_live(&self) -> String {
        self.complaints(|check| check.status == "stale").collect()
    }

    /// Why the process is not ready, one part a line.
    fn not_ready(&self) -> String {
        let draining = self.draining.then(|| "stopping\n".to_owned());
        let parts = self.complaints(|check| !check.is_well());
        let text: String = draining.into_iter().chain(parts).collect();
        if text.is_empty() {
            "starting\n".to_owned()
        } else {
            text
        }
    }

    fn complaints(&self, counts: fn(&CheckHealth) -> bool) -> impl Iterator<Item = String> {
        let counted = self.checks.iter().filter(move |(_, check)| counts(check));
        counted.map(|(name, check)| match (check.status, &check.error) {
            ("stale", _) => format!(
                "{name}: no progress for {} s\n",
                check.seconds_since_progress
            ),
            (_, Some(error)) => format!("{name}: {error}\n"),
            (status, None) => format!("{name}: {status}\n"),
        })
    }
}

#[derive(Clone)]
struct Served {
    health: HealthState,
    metrics: PrometheusHandle,
}

/// Serves `/live`, `/ready`, `/health` and `/metrics` until the task is aborted; the address tells the
/// port if port 0 was asked for.
pub async fn serve(
    listen: SocketAddr,
    health: HealthState,
    metrics: PrometheusHandle,
) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/health", get(details))
        .route("/metrics", get(prometheus))
        .with_state(Served { health, metrics });
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the health server ended");
        }
    });
    Ok((address, task))
}

async fn live(State(served): State<Served>) -> (StatusCode, String) {
    let health = served.health.health();
    verdict(health.live, || health.not_live())
}

async fn ready(State(served): State<Served>) -> (StatusCode, String) {
    let health = served.health.health();
    verdict(health.ready, || health.not_ready())
}

async fn details(State(served): State<Served>) -> (StatusCode, Json<Health>) {
    let health = served.health.health();
    (status(health.ready), Json(health))
}

async fn prometheus(
    State(served): State<Served>,
) -> ([(header::HeaderName, &'static str); 1], String) {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], served.metrics.render())
}

fn verdict(good: bool, complaint: impl FnOnce() -> String) -> (StatusCode, String) {
    let text = if good { "ok\n".to_owned() } else { complaint() };
    (status(good), text)
}

fn status(good: bool) -> StatusCode {
    if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

#[cfg(test)]
mod tests;

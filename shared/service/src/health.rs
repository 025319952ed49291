//! The health of a process, over HTTP: liveness, readiness, details and metrics.
//!
//! A *loop* is registered with the interval in which it must report progress. A loop without progress
//! hangs, and only a restart helps (`/live`). A *dependency* is not registered: it is healthy after `beat`
//! and unhealthy after `fail`, and a restart does not help (`/ready`).

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::State, http::StatusCode, http::header, routing::get};
use longshore_broker::task;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::instruments::render_dollars;

/// The health of the parts of a process. Clones share one state.
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
    registered: bool,
    draining: bool,
}

#[derive(Debug)]
struct Check {
    /// The last report of progress, or else the registration.
    progress: Instant,
    /// Whether progress was reported yet.
    begun: bool,
    /// Set for loops only.
    stale_after: Option<Duration>,
    error: Option<String>,
    is_warning: bool,
}

/// A snapshot of the health of a process, as `/health` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// `worker` or `scheduler`.
    pub service: &'static str,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Every loop makes progress.
    pub live: bool,
    /// Live, started, not draining, and no part has failed.
    pub ready: bool,
    /// The process is stopping.
    pub draining: bool,
    /// The parts by name.
    pub checks: BTreeMap<String, CheckHealth>,
}

/// The health of one part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckHealth {
    /// `ok`, `starting`, `warning`, `failed` or `stale`.
    pub status: &'static str,
    /// Seconds since the last report of progress.
    pub seconds_since_progress: f64,
    /// The failure or the warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl HealthState {
    /// A process that has just started.
    pub fn new(service: &'static str) -> Self {
        Self {
            inner: Arc::new(Inner {
                service,
                started: Instant::now(),
                state: Mutex::default(),
            }),
        }
    }

    /// Registers a loop that must report progress every `stale_after`. The process is not ready before
    /// its first report.
    pub fn register(&self, name: &str, stale_after: Duration) {
        let check = Check::new(Some(stale_after));
        let mut parts = self.parts();
        parts.registered = true;
        parts.checks.insert(name.to_owned(), check);
    }

    /// Reports that a loop made progress or that a dependency answered. Clears an earlier failure.
    pub fn beat(&self, name: &str) {
        let mut parts = self.parts();
        let check = parts.check(name);
        check.progress = Instant::now();
        check.begun = true;
        check.error = None;
    }

    /// Reports a problem that does not stop the work. `message` is public: no secrets.
    pub fn warn(&self, name: &str, message: impl Into<String>) {
        let mut parts = self.parts();
        let check = parts.check(name);
        check.error = Some(message.into());
        check.is_warning = true;
    }

    /// Reports that a loop or a dependency failed; the next `beat` clears it. For a loop this counts as
    /// progress, because a loop that retries does not hang. `message` is public: no secrets.
    pub fn fail(&self, name: &str, message: impl Into<String>) {
        let mut parts = self.parts();
        let check = parts.check(name);
        if check.stale_after.is_some() {
            check.progress = Instant::now();
        }
        check.error = Some(message.into());
        check.is_warning = false;
    }

    /// Unregisters a loop that ended as intended.
    pub fn retire(&self, name: &str) {
        self.parts().checks.remove(name);
    }

    /// Reports that the process is stopping: live, but not ready.
    pub fn drain(&self) {
        self.parts().draining = true;
    }

    /// The health now.
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
        // A process that has registered no loop does no work yet.
        let healthy = parts.registered && checks.values().all(CheckHealth::is_healthy);
        Health {
            service: self.inner.service,
            uptime_seconds: now.saturating_duration_since(self.inner.started).as_secs(),
            live,
            ready: healthy && !parts.draining,
            draining: parts.draining,
            checks,
        }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // A panic never leaves the map half changed.
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
            is_warning: false,
        }
    }

    fn health_at(&self, now: Instant) -> CheckHealth {
        let silent = now.saturating_duration_since(self.progress);
        let status = match self {
            _ if self.stale_after.is_some_and(|limit| silent > limit) => "stale",
            Self {
                error: Some(_),
                is_warning: true,
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
    fn is_healthy(&self) -> bool {
        matches!(self.status, "ok" | "warning")
    }
}

impl Health {
    /// The parts that make the process not live, one a line.
    fn not_live(&self) -> String {
        self.problems(|check| check.status == "stale").collect()
    }

    /// The parts that make the process not ready, one a line.
    fn not_ready(&self) -> String {
        let draining = self.draining.then(|| "stopping\n".to_owned());
        let parts = self.problems(|check| !check.is_healthy());
        let problems: String = draining.into_iter().chain(parts).collect();
        if problems.is_empty() {
            "starting\n".to_owned()
        } else {
            problems
        }
    }

    fn problems(&self, is_problem: fn(&CheckHealth) -> bool) -> impl Iterator<Item = String> {
        let problems = self
            .checks
            .iter()
            .filter(move |(_, check)| is_problem(check));
        problems.map(|(name, check)| match (check.status, &check.error) {
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
struct Endpoints {
    health: HealthState,
    metrics: PrometheusHandle,
}

/// Serves `/live`, `/ready`, `/health` and `/metrics` until the task is aborted. Returns the address that it
/// listens at, with the port that was chosen if `listen` has port 0.
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
        .with_state(Endpoints { health, metrics });
    let task = task::spawn("health endpoint", async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("health endpoint failed: {error}");
        }
    });
    Ok((address, task))
}

async fn live(State(served): State<Endpoints>) -> (StatusCode, String) {
    let health = served.health.health();
    probe_response(health.live, || health.not_live())
}

async fn ready(State(served): State<Endpoints>) -> (StatusCode, String) {
    let health = served.health.health();
    probe_response(health.ready, || health.not_ready())
}

async fn details(State(served): State<Endpoints>) -> (StatusCode, Json<Health>) {
    let health = served.health.health();
    (status(health.ready), Json(health))
}

async fn prometheus(
    State(served): State<Endpoints>,
) -> ([(header::HeaderName, &'static str); 1], String) {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let text = served.metrics.render() + &render_dollars();
    ([(header::CONTENT_TYPE, kind)], text)
}

fn probe_response(good: bool, problems: impl FnOnce() -> String) -> (StatusCode, String) {
    let body = if good { "ok\n".to_owned() } else { problems() };
    (status(good), body)
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

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
    /// `ok`, `starting`, `failed` or `stale`.
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

    /// A loop or a dependency failed, until its next beat. A loop that fails and tries again is not
    /// stuck, so this counts as progress for a loop. `text` is shown: no keys.
    pub fn fail(&self, name: &str, text: impl Into<String>) {
        let mut parts = self.parts();
        let check = parts.check(name);
        if check.stale_after.is_some() {
            check.progress = Instant::now();
        }
        check.error = Some(text.into());
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
        let well = parts.registered && checks.values().all(|check| check.status == "ok");
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
        }
    }

    fn health_at(&self, now: Instant) -> CheckHealth {
        let silent = now.saturating_duration_since(self.progress);
        let status = match self {
            _ if self.stale_after.is_some_and(|limit| silent > limit) => "stale",
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

impl Health {
    /// Why the process is not live, one part a line.
    fn not_live(&self) -> String {
        self.complaints(|check| check.status == "stale").collect()
    }

    /// Why the process is not ready, one part a line.
    fn not_ready(&self) -> String {
        let draining = self.draining.then(|| "stopping\n".to_owned());
        let parts = self.complaints(|check| check.status != "ok");
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
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn later(health: &HealthState, time: Duration) -> Health {
        health.health_at(Instant::now() + time)
    }

    #[test]
    fn a_process_is_ready_when_its_loops_have_begun() {
        let state = HealthState::new("worker");
        state.beat("heartbeat");
        let health = state.health();
        assert!(health.live && !health.ready);
        assert_eq!(health.not_ready(), "starting\n");
        state.register("reader", LIMIT);
        let health = state.health();
        assert!(health.live && !health.ready);
        assert_eq!(health.not_ready(), "reader: starting\n");
        state.beat("reader");
        assert!(state.health().ready);
    }

    #[test]
    fn a_silent_loop_is_named() {
        let state = HealthState::new("worker");
        state.register("reader", LIMIT);
        state.beat("reader");
        state.beat("redis");
        assert!(later(&state, Duration::from_secs(29)).live);
        let health = later(&state, Duration::from_secs(42));
        assert!(!health.live && !health.ready);
        assert_eq!(health.not_live(), "reader: no progress for 42 s\n");
        state.retire("reader");
        assert!(later(&state, Duration::from_secs(42)).ready);
    }

    #[test]
    fn an_ill_dependency_is_not_death() {
        let state = HealthState::new("worker");
        state.register("reader", Duration::from_hours(2));
        state.beat("reader");
        state.beat("redis");
        state.fail("redis", "connection refused");
        let health = later(&state, Duration::from_hours(1));
        assert!(health.live && !health.ready);
        assert_eq!(health.not_ready(), "redis: connection refused\n");
        state.beat("redis");
        assert!(state.health().ready);
    }

    #[test]
    fn a_loop_that_tries_again_is_not_stuck() {
        let state = HealthState::new("scheduler");
        state.register("waker", Duration::ZERO);
        state.fail("waker", "no leader");
        let progress = state.parts().checks["waker"].progress;
        assert_eq!(state.health_at(progress).checks["waker"].status, "failed");
    }

    #[test]
    fn a_stopping_process_is_live_and_not_ready() {
        let state = HealthState::new("worker");
        state.drain();
        let health = state.health();
        assert!(health.live && !health.ready && health.draining);
        assert_eq!(health.not_ready(), "stopping\n");
    }

    async fn fetch(address: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    #[tokio::test]
    async fn it_is_served() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::counter!("longshore_jobs_total").increment(1);
        });
        let state = HealthState::new("worker");
        state.register("reader", LIMIT);
        state.beat("reader");
        state.fail("postgres", "timed out");
        let listen = "127.0.0.1:0".parse().unwrap();
        let (address, task) = serve(listen, state.clone(), recorder.handle())
            .await
            .unwrap();

        assert_eq!(fetch(address, "/live").await, (200, "ok\n".to_owned()));
        assert_eq!(
            fetch(address, "/ready").await,
            (503, "postgres: timed out\n".to_owned())
        );
        let (status, body) = fetch(address, "/health").await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 503);
        assert_eq!(body["service"], "worker");
        assert_eq!(body["checks"]["postgres"]["status"], "failed");
        assert_eq!(body["checks"]["postgres"]["error"], "timed out");
        assert!(
            fetch(address, "/metrics")
                .await
                .1
                .contains("longshore_jobs_total 1")
        );

        state.beat("postgres");
        assert_eq!(fetch(address, "/ready").await, (200, "ok\n".to_owned()));
        task.abort();
    }
}

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

fn later(health: &HealthState, time: Duration) -> Health {
    health.health_at(Instant::now() + time)
}

#[test]
fn a_process_is_ready_when_its_loops_report_progress() {
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
fn a_loop_without_progress_is_named() {
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
fn a_failed_dependency_makes_a_process_not_ready_but_live() {
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
fn a_loop_that_fails_and_retries_is_not_stale() {
    let state = HealthState::new("scheduler");
    state.register("scheduler", Duration::ZERO);
    state.fail("scheduler", "no leader");
    let progress = state.parts().checks["scheduler"].progress;
    assert_eq!(
        state.health_at(progress).checks["scheduler"].status,
        "failed"
    );
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
async fn the_endpoints_show_the_health() {
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

#[test]
fn a_warning_is_shown_and_does_not_stop_the_work() {
    let state = HealthState::new("worker");
    state.register("reader", LIMIT);
    state.beat("reader");
    state.warn("config", "refused: longshore.yaml:3: …");
    let health = state.health();
    assert!(health.live && health.ready);
    assert_eq!(health.checks["config"].status, "warning");
    assert_eq!(
        health.checks["config"].error.as_deref(),
        Some("refused: longshore.yaml:3: …")
    );
    state.beat("config");
    assert_eq!(state.health().checks["config"].status, "ok");
}

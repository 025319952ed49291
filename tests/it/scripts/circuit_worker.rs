//! Circuits as workers see them: shared between all, probed by one.

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use longshore_broker::task;
use longshore_policy::limits::Circuit;
use longshore_protocol::{
    call::{CallError, ErrorClass},
    control::ControlMessage,
    platform::PlatformName,
};
use longshore_tests::stack::eventually;
use longshore_worker::{CircuitState, Circuits, Clock};
use tokio_util::sync::CancellationToken;

use super::fixture::{Fixture, id};

/// Stops what it started when dropped.
struct Worker {
    circuits: Arc<Circuits>,
    stop: CancellationToken,
}

impl Worker {
    fn start(fixture: &Fixture, name: &str, cooldown: Duration) -> Self {
        // Long enough for a slow machine: failures stay recent.
        let rule = Circuit {
            window: LONG,
            cooldown,
            ..Circuit::default()
        };
        let circuits = Arc::new(Circuits::new(
            fixture.broker.clone(),
            Clock::default(),
            id(name),
            rule,
        ));
        let stop = CancellationToken::new();
        let (following, until) = (circuits.clone(), stop.clone());
        task::spawn("circuits", async move { following.follow(until).await });
        Self { circuits, stop }
    }

    fn health(&self) -> CircuitState {
        self.circuits.state(&alpha(), "m")
    }

    async fn succeed(&self) {
        let permit = self.circuits.permit(&alpha(), "m").await.unwrap();
        assert!(!permit.is_probe());
        permit.succeeded().await;
    }

    /// Whether the circuit is open after one more failure.
    async fn fail(&self, class: ErrorClass) -> bool {
        let permit = self.circuits.permit(&alpha(), "m").await.unwrap();
        permit.failed(&CallError::new(class, "no")).await
    }

    async fn eventually(&self, health: CircuitState) {
        eventually("the circuit's state is known", || async {
            ensure!(self.health() == health, "{:?}", self.health());
            Ok(())
        })
        .await
        .unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn alpha() -> PlatformName {
    PlatformName::from_stored("alpha")
}

/// Longer than any test.
const LONG: Duration = Duration::from_mins(10);

/// Shorter than any test.
const NONE: Duration = Duration::ZERO;

#[tokio::test]
async fn an_open_circuit_is_shared_between_workers() {
    let fixture = Fixture::new().await;
    let (a, b) = (
        Worker::start(&fixture, "a", LONG),
        Worker::start(&fixture, "b", LONG),
    );
    for _ in 0..9 {
        assert!(!a.fail(ErrorClass::Overloaded).await);
    }
    assert!(a.fail(ErrorClass::Overloaded).await);
    let known = a.health();
    assert!(matches!(known, CircuitState::Open { .. }), "{known:?}");
    b.eventually(known).await;
    assert!(b.circuits.permit(&alpha(), "m").await.is_none());
    assert_eq!(b.circuits.state(&alpha(), "other"), CircuitState::Closed);
}

#[tokio::test]
async fn a_circuit_message_is_applied_at_once() {
    let fixture = Fixture::new().await;
    let (a, b) = (
        Worker::start(&fixture, "a", LONG),
        Worker::start(&fixture, "b", LONG),
    );
    let mut control = fixture.broker.workers().subscribe_control().await.unwrap();
    for _ in 0..10 {
        let _open = a.fail(ErrorClass::Timeout).await;
    }
    let message = control.next().await.unwrap();
    let circuit = "alpha/m".to_owned();
    assert_eq!(message, ControlMessage::CircuitChanged { circuit });
    b.circuits.refresh_soon();
    b.eventually(a.health()).await;
}

#[tokio::test]
async fn failures_that_are_not_the_models_do_not_open_the_circuit() {
    let fixture = Fixture::new().await;
    let a = Worker::start(&fixture, "a", LONG);
    for _ in 0..20 {
        assert!(!a.fail(ErrorClass::RateLimited).await);
        assert!(!a.fail(ErrorClass::BadRequest).await);
    }
    assert_eq!(fixture.broker.circuits().list().await.unwrap(), []);
}

#[tokio::test]
async fn one_worker_probes_and_its_success_closes_it_for_all() {
    let fixture = Fixture::new().await;
    let (a, b) = (
        Worker::start(&fixture, "a", NONE),
        Worker::start(&fixture, "b", NONE),
    );
    for _ in 0..10 {
        let _open = a.fail(ErrorClass::Network).await;
    }
    assert_eq!(a.health(), CircuitState::HalfOpen);
    b.eventually(CircuitState::HalfOpen).await;
    let probe = b.circuits.permit(&alpha(), "m").await.unwrap();
    assert!(probe.is_probe());
    assert!(
        b.circuits.permit(&alpha(), "m").await.is_none(),
        "not even for b itself"
    );
    assert!(a.circuits.permit(&alpha(), "m").await.is_none());
    probe.succeeded().await;
    assert_eq!(b.health(), CircuitState::Closed);
    a.eventually(CircuitState::Closed).await;
    a.succeed().await;
}

#[tokio::test]
async fn a_probe_without_a_result_is_followed_by_another() {
    let fixture = Fixture::new().await;
    let a = Worker::start(&fixture, "a", NONE);
    for _ in 0..10 {
        let _open = a.fail(ErrorClass::Network).await;
    }
    drop(a.circuits.permit(&alpha(), "m").await.unwrap());
    eventually("another probe", || async {
        let permit = a.circuits.permit(&alpha(), "m").await;
        ensure!(permit.is_some_and(|permit| permit.is_probe()), "none yet");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_rate_limited_probe_closes_the_circuit_and_a_failed_one_does_not() {
    let fixture = Fixture::new().await;
    let a = Worker::start(&fixture, "a", NONE);
    for _ in 0..10 {
        let _open = a.fail(ErrorClass::Network).await;
    }
    assert!(
        a.fail(ErrorClass::Overloaded).await,
        "it is open for longer"
    );
    eventually("the next probe", || async {
        let permit = a.circuits.permit(&alpha(), "m").await;
        let permit = permit.ok_or_else(|| anyhow::anyhow!("not yet"))?;
        let refused = CallError::new(ErrorClass::Refused, "no");
        ensure!(!permit.failed(&refused).await, "still open");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(a.health(), CircuitState::Closed);
}

#[tokio::test]
async fn successes_of_other_workers_count() {
    let fixture = Fixture::new().await;
    let (a, b) = (
        Worker::start(&fixture, "a", LONG),
        Worker::start(&fixture, "b", LONG),
    );
    assert!(!a.fail(ErrorClass::Network).await);
    // Once b has seen a failure, it reports its successes.
    eventually("b tells", || async {
        b.succeed().await;
        let counts = fixture.hash("circuits").await;
        let told: serde_json::Value = serde_json::from_str(&counts["alpha/m"])?;
        let calls: i64 = told["counts"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(_, count)| count[0].as_i64())
            .sum();
        ensure!(calls > 1, "{told}");
        Ok(())
    })
    .await
    .unwrap();
}

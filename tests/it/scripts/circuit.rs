//! The circuit of a failing model opens, and one worker at a time probes it.

use std::time::Duration;

use longshore_broker::{CircuitCount, CircuitName, Claim, Counts};
use longshore_policy::limits::Circuit;
use longshore_protocol::{call::ErrorClass, clock::local_time, platform::PlatformName};

use super::{
    fixture::{Fixture, id, past},
    meters::slots,
};

const LEASE: Duration = Duration::from_secs(3);
const OVERLOADED: ErrorClass = ErrorClass::Overloaded;

pub(super) fn name(model: &str) -> CircuitName {
    CircuitName {
        platform: PlatformName::from_stored("alpha"),
        model: model.to_owned(),
    }
}

/// Counts calls at a time (ms), and how many of them failed.
async fn count(fixture: &Fixture, ms: i64, calls: u64, failed: u64) -> CircuitCount {
    let counts = Counts {
        at: past(ms),
        calls,
        failed: (failed > 0).then_some((failed, OVERLOADED)),
    };
    fixture
        .broker
        .circuits()
        .count_calls(&name("m/1"), counts, &Circuit::default())
        .await
        .unwrap()
}

async fn claim(fixture: &Fixture, worker: &str, ms: i64) -> Claim {
    fixture
        .broker
        .circuits()
        .claim_probe(&name("m/1"), &id(worker), past(ms), LEASE)
        .await
        .unwrap()
}

/// Until when the circuit is open after a probe (ms).
async fn probed(
    fixture: &Fixture,
    worker: &str,
    ms: i64,
    failed: Option<ErrorClass>,
) -> Option<i64> {
    fixture
        .broker
        .circuits()
        .end_probe(
            &name("m/1"),
            &id(worker),
            past(ms),
            failed,
            &Circuit::default(),
        )
        .await
        .unwrap()
        .map(|until| (until - past(0)).num_milliseconds())
}

/// A circuit that opened at 0 and is open for 5 s.
async fn opened() -> Fixture {
    let fixture = Fixture::new().await;
    assert!(count(&fixture, 0, 10, 10).await.opened);
    fixture
}

fn closed() -> CircuitCount {
    CircuitCount {
        open_until: None,
        opened: false,
    }
}

#[tokio::test]
async fn ten_failures_open_the_circuit_and_its_cause_is_published() {
    let fixture = Fixture::new().await;
    for ms in 0..9 {
        assert_eq!(count(&fixture, ms, 1, 1).await, closed());
    }
    let counted = count(&fixture, 9, 1, 1).await;
    assert_eq!(
        counted,
        CircuitCount {
            open_until: Some(past(5009)),
            opened: true
        }
    );
    let reports = fixture.broker.circuits().list().await.unwrap();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].name, name("m/1"));
    let open = reports[0].open.as_ref().unwrap();
    assert_eq!(
        (open.since, open.until, open.class, open.probing_until),
        (past(9), past(5009), OVERLOADED, None)
    );
}

#[tokio::test]
async fn half_of_the_calls_failing_opens_the_circuit_and_fewer_do_not() {
    let fixture = Fixture::new().await;
    assert_eq!(count(&fixture, 0, 21, 10).await, closed());
    assert!(count(&fixture, 1, 1, 1).await.opened);
}

#[tokio::test]
async fn the_circuit_of_a_busy_model_opens_within_a_second() {
    let fixture = Fixture::new().await;
    assert_eq!(count(&fixture, 0, 1, 1).await, closed());
    for ms in (0..9000).step_by(500) {
        assert_eq!(count(&fixture, ms, 500, 0).await, closed());
    }
    assert_eq!(count(&fixture, 9000, 100, 100).await, closed());
    assert_eq!(
        count(&fixture, 9499, 100, 100).await,
        closed(),
        "half of a part says nothing"
    );
    assert!(count(&fixture, 9500, 1, 1).await.opened);
}

#[tokio::test]
async fn failures_of_a_quiet_model_add_up_over_the_window_only() {
    let fixture = Fixture::new().await;
    for ms in (0..9 * 1200).step_by(1200) {
        assert_eq!(
            count(&fixture, ms, 1, 1).await,
            closed(),
            "ten in 12 s, never in 10"
        );
    }
    let fixture = Fixture::new().await;
    for ms in (0..9 * 1000).step_by(1000) {
        assert_eq!(count(&fixture, ms, 1, 1).await, closed());
    }
    assert!(count(&fixture, 9000, 1, 1).await.opened);
}

#[tokio::test]
async fn successes_without_failures_leave_no_state() {
    let fixture = Fixture::new().await;
    assert_eq!(count(&fixture, 0, 1000, 0).await, closed());
    assert_eq!(fixture.broker.circuits().list().await.unwrap(), []);
    let _closed = count(&fixture, 0, 1, 1).await;
    assert_eq!(
        fixture.broker.circuits().list().await.unwrap()[0].open,
        None
    );
    assert_eq!(count(&fixture, 10_000, 1, 0).await, closed());
    assert_eq!(
        fixture.broker.circuits().list().await.unwrap(),
        [],
        "the failure is long ago"
    );
}

#[tokio::test]
async fn an_open_circuit_counts_no_calls() {
    let fixture = opened().await;
    let before = fixture.hash("circuits").await;
    let counted = count(&fixture, 100, 50, 50).await;
    assert_eq!(
        counted,
        CircuitCount {
            open_until: Some(past(5000)),
            opened: false
        }
    );
    assert_eq!(fixture.hash("circuits").await, before);
}

#[tokio::test]
async fn one_worker_probes_and_not_before_the_open_time_ends() {
    let fixture = opened().await;
    assert_eq!(claim(&fixture, "a", 4999).await, Claim::Open(past(5000)));
    assert_eq!(claim(&fixture, "a", 5000).await, Claim::Yes);
    assert_eq!(claim(&fixture, "b", 5001).await, Claim::Taken(past(8000)));
    assert_eq!(claim(&fixture, "a", 6000).await, Claim::Yes, "it renews");
    assert_eq!(claim(&fixture, "b", 8999).await, Claim::Taken(past(9000)));
    assert_eq!(claim(&fixture, "b", 9000).await, Claim::Yes, "a is dead");
}

#[tokio::test]
async fn a_successful_probe_closes_the_circuit() {
    let fixture = opened().await;
    assert_eq!(claim(&fixture, "a", 5000).await, Claim::Yes);
    assert_eq!(probed(&fixture, "a", 5100, None).await, None);
    assert_eq!(fixture.broker.circuits().list().await.unwrap(), []);
    assert_eq!(claim(&fixture, "b", 5100).await, Claim::Closed);
    assert_eq!(
        count(&fixture, 5200, 9, 9).await,
        closed(),
        "it counts from new"
    );
}

#[tokio::test]
async fn each_failed_probe_doubles_the_open_time_up_to_the_maximum() {
    let fixture = opened().await;
    let mut now = 5000;
    for cooldown in [10_000, 20_000, 40_000, 60_000, 60_000] {
        assert_eq!(claim(&fixture, "a", now).await, Claim::Yes);
        let until = probed(&fixture, "a", now, Some(ErrorClass::Timeout)).await;
        assert_eq!(until, Some(now + cooldown));
        assert_eq!(
            claim(&fixture, "a", now).await,
            Claim::Open(past(now + cooldown))
        );
        now += cooldown;
    }
    let reports = fixture.broker.circuits().list().await.unwrap();
    let open = reports[0].open.as_ref().unwrap();
    assert_eq!((open.since, open.class), (past(0), ErrorClass::Timeout));
}

#[tokio::test]
async fn a_worker_that_lost_the_probe_decides_nothing() {
    let fixture = opened().await;
    assert_eq!(claim(&fixture, "a", 5000).await, Claim::Yes);
    assert_eq!(claim(&fixture, "b", 8000).await, Claim::Yes);
    let before = fixture.hash("circuits").await;
    assert_eq!(probed(&fixture, "a", 8100, None).await, Some(5000));
    assert_eq!(
        probed(&fixture, "a", 8100, Some(OVERLOADED)).await,
        Some(5000)
    );
    assert_eq!(fixture.hash("circuits").await, before);
    assert_eq!(probed(&fixture, "b", 8200, None).await, None);
    assert_eq!(
        probed(&fixture, "b", 8200, None).await,
        None,
        "twice is as once"
    );
}

#[tokio::test]
async fn each_model_has_its_own_circuit() {
    let fixture = opened().await;
    let other = fixture
        .broker
        .circuits()
        .claim_probe(&name("m"), &id("a"), past(5000), LEASE)
        .await
        .unwrap();
    assert_eq!(other, Claim::Closed);
}

#[tokio::test]
async fn times_never_exceed_the_servers_clock() {
    let fixture = Fixture::new().await;
    let ahead = local_time() + Duration::from_hours(1);
    let counts = Counts {
        at: ahead,
        calls: 10,
        failed: Some((10, OVERLOADED)),
    };
    let counted = fixture
        .broker
        .circuits()
        .count_calls(&name("m/1"), counts, &Circuit::default())
        .await
        .unwrap();
    assert!(counted.open_until.unwrap() < ahead);
}

#[tokio::test]
async fn a_closed_circuit_has_parked_jobs_tried_again() {
    let fixture = opened().await;
    let _running = fixture.taking(&[slots(1)]).await;
    fixture.waiter(vec![slots(1)]).await;
    assert_eq!(claim(&fixture, "a", 5000).await, Claim::Yes);
    assert!(!fixture.names().await.contains("lanes:retry"));
    assert_eq!(probed(&fixture, "a", 5001, None).await, None);
    assert!(fixture.names().await.contains("lanes:retry"));
}

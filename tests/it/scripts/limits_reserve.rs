//! A job's candidates: the first with room, else the one that has room soonest.

use std::time::Duration;

use longshore_broker::{AlsoParked, Begun, Reserved, Turn};
use longshore_policy::limits::MeterAmount;
use longshore_protocol::id::AttemptId;

use super::{
    fixture::{Fixture, limit},
    meters::{NOW, budget, consumed, requests, slots, window},
};

/// A rate per minute with its own name.
fn rate(name: &str, per_minute: u64) -> Vec<MeterAmount> {
    let mut take = requests(per_minute);
    if let MeterAmount::Rate { meter, .. } = &mut take {
        *meter = format!("rpm:{name}");
    }
    vec![take]
}

#[tokio::test]
async fn the_first_candidate_with_room_is_reserved_and_no_other() {
    let fixture = Fixture::new().await;
    fixture.taking(&[slots(1)]).await;
    let candidates = [
        vec![slots(1)],
        vec![budget(10, 4)],
        vec![window("rpd:m", NOW, 9, 1)],
        Vec::new(),
    ];
    let call = fixture.call().await;
    let reserved = fixture.reserve(&call, &candidates, false).await;
    assert_eq!(reserved, Reserved::Yes(1, Turn::default()));
    assert_eq!(fixture.sums("budget:b").await, (0, 4));
    assert_eq!(fixture.sums("rpd:m").await, (0, 0));
    // If its worker dies, the journal names the provider that it called.
    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let said = format!("lost 1 {}", call.attempt);
    assert!(fixture.events().await.contains(&(said, false)));
    assert_eq!(fixture.sums("budget:b").await, (4, 0));
}

#[tokio::test]
async fn an_unlimited_candidate_always_has_room() {
    let fixture = Fixture::new().await;
    fixture.taking(&[slots(1)]).await;
    let call = fixture.call().await;
    let reserved = fixture
        .reserve(&call, &[vec![slots(1)], Vec::new()], false)
        .await;
    assert_eq!(reserved, Reserved::Yes(1, Turn::default()));
}

#[tokio::test]
async fn among_paced_candidates_the_soonest_turn_is_booked() {
    let fixture = Fixture::new().await;
    // Two seconds and one second to the next turn.
    for (name, per_minute) in [("slow", 30), ("quick", 60)] {
        fixture.taking(&rate(name, per_minute)).await;
    }
    let call = fixture.call().await;
    let candidates = [vec![slots(1)], rate("slow", 30), rate("quick", 60)];
    fixture.taking(&[slots(1)]).await;
    let before = fixture.full_at("rpm:slow").await;
    match fixture.reserve(&call, &candidates, false).await {
        Reserved::Yes(2, turn) => assert!(turn.wait <= Duration::from_secs(1), "{turn:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.full_at("rpm:slow").await, before);
}

#[tokio::test]
async fn without_room_the_job_is_parked_for_the_earliest_reset() {
    let fixture = Fixture::new().await;
    let day = || window("rpd:m", NOW, 1, 1);
    let call = fixture.taking(&[day()]).await;
    fixture.end(&call, consumed(1, 1)).await;
    // Ten seconds to the next turn.
    fixture.taking(&rate("slow", 6)).await;
    let now = fixture.broker.server().time_ms().await.unwrap();

    let call = fixture.call().await;
    let reserved = fixture
        .reserve(&call, &[vec![day()], rate("slow", 6)], false)
        .await;
    match reserved {
        Reserved::Waits {
            at_ms,
            also_parked,
            meter,
            waiting,
        } => {
            assert!((now + 9_000..=now + 10_000).contains(&at_ms), "{at_ms}");
            let expected = (AlsoParked::All, "rpm:slow", 1);
            assert_eq!((also_parked, meter.as_str(), waiting), expected);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.lane("rpm:slow").await, [call.job.as_str()]);
    assert!(fixture.lane("rpd:m").await.is_empty());
    // It must be read before its turn.
    let gate = fixture.gate("rpm:slow").await.unwrap();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
    let least = (now + 8_000) as f64;
    assert!((least..=least + 1_000.0).contains(&gate), "{gate} {least}");
    let turn = fixture
        .broker
        .lanes()
        .limit_position("rpm:slow", &call.delivery.entry_id)
        .await
        .unwrap();
    assert_eq!(turn.ahead, Some(0));
    assert!(turn.at_ms.is_some());
}

#[tokio::test]
async fn the_spending_of_one_tenant_does_not_block_others() {
    let fixture = Fixture::new().await;
    for (meter, expected) in [
        ("budget:b", AlsoParked::All),
        ("budget:b:acme", AlsoParked::None),
    ] {
        let amounts = || vec![window(meter, NOW, 1, 1)];
        fixture.taking(&amounts()).await;
        let call = fixture.call().await;
        let reserved = fixture.reserve(&call, &[amounts()], false).await;
        assert!(
            matches!(reserved, Reserved::Waits { also_parked, .. } if also_parked == expected),
            "{meter}: {reserved:?}"
        );
    }
}

#[tokio::test]
async fn a_reservation_is_fenced_like_a_begin() {
    let fixture = Fixture::new().await;
    let key = limit("k", 1);
    let call = fixture.call().await;
    fixture.steal(&call.delivery, "b").await;
    let before = fixture.snapshot().await;
    let reserved = fixture.reserve(&call, &[vec![slots(1)]], false).await;
    assert_eq!(reserved, Reserved::Lost);
    assert_eq!(fixture.snapshot().await, before);

    let (held, job) = fixture.job("a").await;
    let begun = fixture
        .begin(&held, &job, AttemptId::new(), Some(&key))
        .await;
    assert_eq!(begun, super::fixture::BEGUN);
    let call = fixture.call().await;
    let reserved = fixture.reserve_keyed(&call, &key, vec![slots(1)]).await;
    assert_eq!(reserved, Reserved::Parked);
    assert!(fixture.holders().await.is_empty());
    let waiting = fixture.broker.lanes().parked_job(&call.job).await.unwrap();
    assert_eq!(waiting.expect("it waits").lane, "key:k");
}

#[tokio::test]
async fn a_reservation_may_find_room_that_begin_did_not() {
    let fixture = Fixture::new().await;
    let running = fixture.taking(&[slots(1)]).await;
    let (call, begun) = fixture.try_to_take(&[slots(1)]).await;
    assert_eq!(begun, Begun::Full);
    fixture.end(&running, consumed(1, 1)).await;
    let reserved = fixture.reserve(&call, &[vec![slots(1)]], false).await;
    assert_eq!(reserved, Reserved::Yes(0, Turn::default()));
    assert_eq!(
        fixture.holders().await,
        std::slice::from_ref(&call.delivery.entry_id)
    );
}

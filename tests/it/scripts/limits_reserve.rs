//! A job's candidates: the first with room, else the one that has room soonest.

use std::time::Duration;

use longshore_broker::{Begun, Reserved};
use longshore_policy::limits::MeterAmount;
use longshore_protocol::id::AttemptId;

use super::{
    meters::{NOW, budget, consumed, places, requests, window},
    room::{Room, limit},
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
    let room = Room::new().await;
    room.taking(&[places(1)]).await;
    let candidates = [
        vec![places(1)],
        vec![budget(10, 4)],
        vec![window("rpd:m", NOW, 9, 1)],
        Vec::new(),
    ];
    let call = room.call().await;
    let reserved = room.reserve(&call, &candidates, false).await;
    assert_eq!(reserved, Reserved::Yes(1, Duration::ZERO));
    assert_eq!(room.sums("budget:b").await, (0, 4));
    assert_eq!(room.sums("rpd:m").await, (0, 0));
    // If its worker dies, the journal names the provider that it called.
    let _recovered = room
        .broker
        .workers()
        .recover(&room.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let said = format!("lost 1 {}", call.attempt);
    assert!(room.events().await.contains(&(said, false)));
    assert_eq!(room.sums("budget:b").await, (4, 0));
}

#[tokio::test]
async fn an_unlimited_candidate_always_has_room() {
    let room = Room::new().await;
    room.taking(&[places(1)]).await;
    let call = room.call().await;
    let reserved = room
        .reserve(&call, &[vec![places(1)], Vec::new()], false)
        .await;
    assert_eq!(reserved, Reserved::Yes(1, Duration::ZERO));
}

#[tokio::test]
async fn among_paced_candidates_the_soonest_turn_is_booked() {
    let room = Room::new().await;
    // Two seconds and one second to the next turn.
    for (name, per_minute) in [("slow", 30), ("quick", 60)] {
        room.taking(&rate(name, per_minute)).await;
    }
    let call = room.call().await;
    let candidates = [vec![places(1)], rate("slow", 30), rate("quick", 60)];
    room.taking(&[places(1)]).await;
    let before = room.full_at("rpm:slow").await;
    match room.reserve(&call, &candidates, false).await {
        Reserved::Yes(2, wait) => assert!(wait <= Duration::from_secs(1), "{wait:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(room.full_at("rpm:slow").await, before);
}

#[tokio::test]
async fn without_room_the_job_is_parked_for_the_earliest_reset() {
    let room = Room::new().await;
    let day = || window("rpd:m", NOW, 1, 1);
    let call = room.taking(&[day()]).await;
    room.end(&call, consumed(1, 1)).await;
    // Ten seconds to the next turn.
    room.taking(&rate("slow", 6)).await;
    let now = room.broker.server().time_ms().await.unwrap();

    let call = room.call().await;
    let reserved = room
        .reserve(&call, &[vec![day()], rate("slow", 6)], false)
        .await;
    match reserved {
        Reserved::Waits {
            at_ms,
            for_all,
            meter,
            waiting,
        } => {
            assert!((now + 9_000..=now + 10_000).contains(&at_ms), "{at_ms}");
            assert_eq!((for_all, meter.as_str(), waiting), (true, "rpm:slow", 1));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(room.lane("rpm:slow").await, [call.job.as_str()]);
    assert!(room.lane("rpd:m").await.is_empty());
    // It must be read before its turn.
    let gate = room.gate("rpm:slow").await.unwrap();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
    let least = (now + 8_000) as f64;
    assert!((least..=least + 1_000.0).contains(&gate), "{gate} {least}");
    let turn = room
        .broker
        .lanes()
        .limit_position("rpm:slow", &call.job)
        .await
        .unwrap();
    assert_eq!(turn.ahead, Some(0));
    assert!(turn.at_ms.is_some());
}

#[tokio::test]
async fn the_spending_of_one_tenant_does_not_block_others() {
    let room = Room::new().await;
    for (meter, expected) in [("budget:b", true), ("budget:b:acme", false)] {
        let amounts = || vec![window(meter, NOW, 1, 1)];
        room.taking(&amounts()).await;
        let call = room.call().await;
        let reserved = room.reserve(&call, &[amounts()], false).await;
        assert!(
            matches!(reserved, Reserved::Waits { for_all, .. } if for_all == expected),
            "{meter}: {reserved:?}"
        );
    }
}

#[tokio::test]
async fn a_reservation_is_fenced_like_a_begin() {
    let room = Room::new().await;
    let key = limit("k", 1);
    let call = room.call().await;
    room.steal(&call.delivery, "b").await;
    let before = room.snapshot().await;
    let reserved = room.reserve(&call, &[vec![places(1)]], false).await;
    assert_eq!(reserved, Reserved::Lost);
    assert_eq!(room.snapshot().await, before);

    let (held, job) = room.job("a").await;
    let begun = room.begin(&held, &job, AttemptId::new(), Some(&key)).await;
    assert_eq!(begun, super::room::BEGUN);
    let call = room.call().await;
    let reserved = room.reserve_keyed(&call, &key, vec![places(1)]).await;
    assert_eq!(reserved, Reserved::Parked);
    assert!(room.holders().await.is_empty());
    let waiting = room.broker.lanes().parked_job(&call.job).await.unwrap();
    assert_eq!(waiting.expect("it waits").lane, "key:k");
}

#[tokio::test]
async fn a_reservation_may_find_room_that_begin_did_not() {
    let room = Room::new().await;
    let running = room.taking(&[places(1)]).await;
    let (call, begun) = room.try_to_take(&[places(1)]).await;
    assert_eq!(begun, Begun::Full);
    room.end(&running, consumed(1, 1)).await;
    let reserved = room.reserve(&call, &[vec![places(1)]], false).await;
    assert_eq!(reserved, Reserved::Yes(0, Duration::ZERO));
    assert_eq!(
        room.holders().await,
        std::slice::from_ref(&call.delivery.entry_id)
    );
}

//! Several limits at once: all of them or none.

use longshore_broker::{Begun, Reserved};
use longshore_policy::limits::MeterAmount;

use super::{
    meters::{NOW, budget, consumed, places, requests, tokens, window},
    room::Room,
};

/// One of each kind.
fn all() -> Vec<MeterAmount> {
    vec![
        budget(100, 5),
        window("rpd:m", NOW, 20, 1),
        tokens(60_000, 100),
        requests(6_000),
        places(9),
    ]
}

#[tokio::test]
async fn a_call_reserves_of_all_limits_and_returns_to_all() {
    let room = Room::new().await;
    let before = room.broker.server().time_ms().await.unwrap() * 1000;
    let call = room.taking(&all()).await;
    assert_eq!(room.sums("budget:b").await, (0, 5));
    assert_eq!(room.sums("rpd:m").await, (0, 1));
    assert!(room.full_at("tpm:m").await > before);
    assert!(room.full_at("rpm:m").await > before);
    assert_eq!(
        room.holders().await,
        std::slice::from_ref(&call.delivery.entry_id)
    );

    room.end(&call, consumed(100, 3)).await;
    assert_eq!(room.sums("budget:b").await, (3, 0));
    assert_eq!(room.sums("rpd:m").await, (1, 0));
    room.assert_nothing_is_left().await;
}

#[tokio::test]
async fn one_limit_without_room_prevents_any_reservation() {
    let full: [(&str, MeterAmount); 5] = [
        ("budget:b", budget(100, 100)),
        ("rpd:m", window("rpd:m", NOW, 20, 20)),
        ("tpm:m", tokens(60_000, 60_000)),
        ("rpm:m", tokens_as_requests()),
        ("slots:m", places(1)),
    ];
    for (meter, fills) in full {
        let room = Room::new().await;
        room.taking(&[fills]).await;
        let mut amounts = all();
        if meter == "slots:m" {
            amounts.pop();
            amounts.push(places(1));
        }
        let call = room.call().await;
        let before = room.snapshot().await;
        let begun = room.begin_taking(&call, &amounts, false).await;
        assert_eq!(begun, Begun::Full, "{meter}");
        assert_eq!(room.snapshot().await, before, "{meter}");

        // It waits for one limit, and has reserved nothing of the others.
        let reserved = room.reserve(&call, &[amounts], false).await;
        assert!(
            matches!(&reserved, Reserved::Waits { meter: full, .. } if full == meter),
            "{meter}: {reserved:?}"
        );
        let after = room.snapshot().await;
        let changed: Vec<&String> = after
            .iter()
            .filter(|(name, value)| before.get(*name) != Some(value))
            .map(|(name, _)| name)
            .filter(|name| name.starts_with("quota:") || name.starts_with("slots:"))
            .collect();
        assert_eq!(changed, [&format!("quota:{meter}")], "of whom it waits for");
    }
}

/// Requests that keep the minute's bucket full for long.
fn tokens_as_requests() -> MeterAmount {
    match tokens(60_000, 60_000) {
        MeterAmount::Rate {
            per_minute,
            pacing,
            amount,
            ..
        } => MeterAmount::Rate {
            meter: "rpm:m".to_owned(),
            per_minute,
            pacing,
            amount,
        },
        other => other,
    }
}

#[tokio::test]
async fn calls_of_different_limits_do_not_affect_each_other() {
    let room = Room::new().await;
    room.taking(&[window("rpd:one", NOW, 1, 1)]).await;
    room.taking(&[window("rpd:two", NOW, 1, 1)]).await;
    room.taking(&[]).await;
    let (_, begun) = room.try_to_take(&[window("rpd:one", NOW, 1, 1)]).await;
    assert_eq!(begun, Begun::Full);
}

//! Several limits at once: all of them or none.

use longshore_broker::{Begun, Reserved};
use longshore_policy::limits::MeterAmount;

use super::{
    fixture::Fixture,
    meters::{NOW, budget, consumed, requests, slots, tokens, window},
};

/// One of each kind.
fn all() -> Vec<MeterAmount> {
    vec![
        budget(100, 5),
        window("rpd:m", NOW, 20, 1),
        tokens(60_000, 100),
        requests(6_000),
        slots(9),
    ]
}

#[tokio::test]
async fn a_call_reserves_of_all_limits_and_returns_to_all() {
    let fixture = Fixture::new().await;
    let before = fixture.broker.server().time_ms().await.unwrap() * 1000;
    let call = fixture.taking(&all()).await;
    assert_eq!(fixture.sums("budget:b").await, (0, 5));
    assert_eq!(fixture.sums("rpd:m").await, (0, 1));
    assert!(fixture.full_at("tpm:m").await > before);
    assert!(fixture.full_at("rpm:m").await > before);
    assert_eq!(
        fixture.holders().await,
        std::slice::from_ref(&call.delivery.entry_id)
    );

    fixture.end(&call, consumed(100, 3)).await;
    assert_eq!(fixture.sums("budget:b").await, (3, 0));
    assert_eq!(fixture.sums("rpd:m").await, (1, 0));
    fixture.assert_nothing_is_left().await;
}

#[tokio::test]
async fn one_limit_without_room_prevents_any_reservation() {
    let full: [(&str, MeterAmount); 5] = [
        ("budget:b", budget(100, 100)),
        ("rpd:m", window("rpd:m", NOW, 20, 20)),
        ("tpm:m", tokens(60_000, 60_000)),
        ("rpm:m", tokens_as_requests()),
        ("slots:m", slots(1)),
    ];
    for (meter, fills) in full {
        let fixture = Fixture::new().await;
        fixture.taking(&[fills]).await;
        let mut amounts = all();
        if meter == "slots:m" {
            amounts.pop();
            amounts.push(slots(1));
        }
        let call = fixture.call().await;
        let before = fixture.snapshot().await;
        let begun = fixture.begin_taking(&call, &amounts, false).await;
        assert_eq!(begun, Begun::Full, "{meter}");
        assert_eq!(fixture.snapshot().await, before, "{meter}");

        // It waits for one limit, and has reserved nothing of the others.
        let reserved = fixture.reserve(&call, &[amounts], false).await;
        assert!(
            matches!(&reserved, Reserved::Waits { meter: full, .. } if full == meter),
            "{meter}: {reserved:?}"
        );
        let after = fixture.snapshot().await;
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
    let fixture = Fixture::new().await;
    fixture.taking(&[window("rpd:one", NOW, 1, 1)]).await;
    fixture.taking(&[window("rpd:two", NOW, 1, 1)]).await;
    fixture.taking(&[]).await;
    let (_, begun) = fixture.try_to_take(&[window("rpd:one", NOW, 1, 1)]).await;
    assert_eq!(begun, Begun::Full);
}

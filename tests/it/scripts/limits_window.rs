//! Sums within a window: hard and soft, reserved and used, and from one window to the next.

use longshore_broker::{AlsoParked, Begun, Consumed, Reserved, Turn};

use super::{
    fixture::{BEGUN, Fixture},
    meters::{BEFORE, NOW, budget, consumed, endless, or_die, soft, window},
};

#[tokio::test]
async fn a_hard_limit_is_reached_and_not_overrun() {
    let fixture = Fixture::new().await;
    for held in 1..=3 {
        fixture.taking(&[budget(10, 3)]).await;
        assert_eq!(fixture.sums("budget:b").await, (0, 3 * held));
    }
    let call = fixture.call().await;
    let before = fixture.snapshot().await;
    let begun = fixture.begin_taking(&call, &[budget(10, 2)], false).await;
    assert_eq!(begun, Begun::Full);
    assert_eq!(fixture.snapshot().await, before);
    fixture.taking(&[budget(10, 1)]).await;
    assert_eq!(fixture.sums("budget:b").await, (0, 10));
}

#[tokio::test]
async fn a_soft_limit_only_counts() {
    let fixture = Fixture::new().await;
    for held in 1..=3 {
        fixture.taking(&[soft(budget(10, 8))]).await;
        assert_eq!(fixture.sums("budget:b").await, (0, 8 * held));
    }
    // The same with more than the whole limit.
    fixture.taking(&[soft(budget(10, 11))]).await;
    assert_eq!(fixture.sums("budget:b").await, (0, 35));
}

#[tokio::test]
async fn a_reservation_becomes_usage() {
    for (consumed, used) in [
        (consumed(7, 2), 2),
        (consumed(7, 0), 0),
        (Consumed::Unknown, 5),
    ] {
        let fixture = Fixture::new().await;
        let call = fixture.taking(&[budget(10, 5)]).await;
        assert_eq!(fixture.sums("budget:b").await, (0, 5));
        fixture.end(&call, consumed).await;
        assert_eq!(fixture.sums("budget:b").await, (used, 0), "{consumed:?}");
    }
}

#[tokio::test]
async fn a_quota_of_requests_counts_those_that_the_provider_counts() {
    for (requests, used) in [(1, 1), (0, 0)] {
        let fixture = Fixture::new().await;
        let call = fixture.taking(&[window("rpd:m", NOW, 10, 1)]).await;
        let refused = Consumed::Known {
            tokens: 9,
            requests,
            nanos: 9,
            answered: false,
        };
        fixture.end(&call, refused).await;
        assert_eq!(fixture.sums("rpd:m").await, (used, 0));
    }
}

#[tokio::test]
async fn a_new_window_begins_empty_and_ignores_earlier_calls() {
    let fixture = Fixture::new().await;
    let old = |amount| [window("budget:b", BEFORE, 10, amount)];
    let early = fixture.taking(&old(4)).await;
    let ended = fixture.taking(&old(6)).await;
    fixture.end(&ended, consumed(1, 6)).await;
    assert_eq!(fixture.try_to_take(&old(1)).await.1, Begun::Full);

    let call = fixture.taking(&[budget(10, 10)]).await;
    assert_eq!(fixture.sums("budget:b").await, (0, 10));
    fixture.end(&early, Consumed::Unknown).await;
    assert_eq!(fixture.sums("budget:b").await, (0, 10));
    fixture.end(&call, Consumed::Unknown).await;
    assert_eq!(fixture.sums("budget:b").await, (10, 0));
}

#[tokio::test]
async fn an_ended_window_is_recorded_once_if_it_was_used() {
    for (amount, facts) in [(3, 1), (0, 0)] {
        let fixture = Fixture::new().await;
        let call = fixture.taking(&[window("budget:b", BEFORE, 10, 5)]).await;
        fixture.end(&call, consumed(1, amount)).await;
        fixture.taking(&[budget(20, 1)]).await;
        fixture.taking(&[budget(20, 1)]).await;
        let events = fixture.events().await;
        let windows: Vec<serde_json::Value> = events
            .iter()
            .filter(|(event, _)| event.contains("window"))
            .map(|(event, _)| serde_json::from_str(event).unwrap())
            .collect();
        assert_eq!(windows.len(), facts);
        for fact in windows {
            let expected = serde_json::json!({"window": {
                "meter": "budget:b", "unit": "nano_usd", "start_ms": BEFORE.0, "end_ms": BEFORE.1,
                "used": amount, "limit": 10,
            }});
            assert_eq!(fact, expected);
        }
    }
}

/// Its worker read the clock just before the window's end, or its clock is behind.
#[tokio::test]
async fn a_late_call_does_not_reopen_an_old_window() {
    let fixture = Fixture::new().await;
    fixture.taking(&[budget(10, 7)]).await;
    let late = window("budget:b", BEFORE, 10, 5);
    let call = fixture.call().await;
    let before = fixture.snapshot().await;
    let begun = fixture
        .begin_taking(&call, std::slice::from_ref(&late), false)
        .await;
    assert_eq!(begun, Begun::Full);
    assert_eq!(fixture.snapshot().await, before);

    // It is parked briefly and returns in the new window, even where it would otherwise be a dead letter.
    let reserved = fixture
        .reserve(&call, &[vec![or_die(late.clone())]], false)
        .await;
    let soon = fixture.broker.server().time_ms().await.unwrap() + 2_000;
    assert!(
        matches!(reserved, Reserved::Waits { at_ms, .. } if at_ms < soon),
        "{reserved:?}"
    );
    let end: i64 = fixture
        .ask(&["HGET", &fixture.key("quota:budget:b"), "end"])
        .await;
    assert_eq!(end, NOW.1, "it does not tell when this window ends");

    // A soft limit lets it continue, uncounted.
    let (call, begun) = fixture.try_to_take(&[soft(late)]).await;
    assert_eq!(begun, Begun::Full, "but does not overtake who waits");
    let begun = fixture
        .begin_taking(&call, &[soft(window("budget:b", BEFORE, 10, 5))], true)
        .await;
    assert_eq!(begun, BEGUN);
    assert_eq!(fixture.sums("budget:b").await, (0, 7));
    fixture.end(&call, Consumed::Unknown).await;
    assert_eq!(fixture.sums("budget:b").await, (0, 7));
}

#[tokio::test]
async fn a_window_changed_by_the_configuration_is_counted_anew() {
    let fixture = Fixture::new().await;
    fixture.taking(&[budget(10, 10)]).await;
    // A day became a month: it began earlier and has not ended.
    fixture
        .taking(&[window("budget:b", (500, NOW.1), 10, 4)])
        .await;
    assert_eq!(fixture.sums("budget:b").await, (0, 4));
}

#[tokio::test]
async fn a_call_larger_than_the_limit_is_rejected() {
    let fixture = Fixture::new().await;
    let call = fixture.call().await;
    let reserved = fixture.reserve(&call, &[vec![budget(10, 11)]], false).await;
    assert_eq!(reserved, Reserved::Never("budget:b".to_owned()));
    assert_eq!(fixture.sums("budget:b").await, (0, 0));
    assert!(
        fixture
            .pending()
            .await
            .contains_key(call.delivery.entry_id.as_str())
    );
    // With a candidate that it may wait for, it is parked.
    fixture.taking(&[window("rpd:m", NOW, 1, 1)]).await;
    let other = vec![window("rpd:m", NOW, 1, 1)];
    let reserved = fixture
        .reserve(&call, &[vec![budget(10, 11)], other], false)
        .await;
    assert!(
        matches!(&reserved, Reserved::Waits { meter, .. } if meter == "rpd:m"),
        "{reserved:?}"
    );
}

#[tokio::test]
async fn a_job_without_budget_becomes_a_dead_letter_and_reserves_nothing() {
    let fixture = Fixture::new().await;
    let all = fixture.taking(&[budget(10, 10)]).await;
    let amounts = vec![or_die(budget(10, 1))];
    // Another's reservation may be returned: nothing is used yet.
    let early = fixture.call().await;
    let reserved = fixture
        .reserve(&early, std::slice::from_ref(&amounts), false)
        .await;
    assert!(matches!(reserved, Reserved::Waits { .. }), "{reserved:?}");
    fixture.end(&all, Consumed::Unknown).await;
    let call = fixture.call().await;
    let before = fixture.snapshot().await;
    let reserved = fixture
        .reserve(&call, std::slice::from_ref(&amounts), false)
        .await;
    assert_eq!(reserved, Reserved::Refused("budget:b".to_owned()));
    assert_eq!(fixture.snapshot().await, before);
    // Unless another candidate has room.
    let reserved = fixture.reserve(&call, &[amounts, Vec::new()], false).await;
    assert_eq!(reserved, Reserved::Yes(1, Turn::default()));
}

#[tokio::test]
async fn a_job_with_room_behind_parked_ones_waits_instead_of_failing_on_budget() {
    let fixture = Fixture::new().await;
    let full = fixture.taking(&[budget(10, 10)]).await;
    fixture.waiter(vec![budget(10, 1)]).await;
    fixture.end(&full, consumed(1, 0)).await;
    let call = fixture.call().await;
    let amounts = vec![or_die(budget(10, 1))];
    let reserved = fixture.reserve(&call, &[amounts], false).await;
    assert!(matches!(reserved, Reserved::Waits { .. }), "{reserved:?}");
}

#[tokio::test]
async fn a_job_waits_for_the_windows_end_or_for_returned_amounts() {
    let fixture = Fixture::new().await;
    let call = fixture.taking(&[budget(10, 10)]).await;
    let waits = async |amounts| {
        let call = fixture.call().await;
        match fixture.reserve(&call, &[amounts], false).await {
            Reserved::Waits { at_ms, .. } => at_ms,
            other => panic!("{other:?}"),
        }
    };
    let soon = fixture.broker.server().time_ms().await.unwrap() + 2_000;
    assert!(waits(vec![budget(10, 1)]).await < soon);
    fixture.end(&call, Consumed::Unknown).await;
    assert_eq!(waits(vec![budget(10, 1)]).await, NOW.1);

    let for_ever = || vec![endless(window("budget:e", (0, 0), 10, 10))];
    let call = fixture.taking(&for_ever()).await;
    fixture.end(&call, Consumed::Unknown).await;
    let year_3000 = 32_503_680_000_000;
    assert_eq!(waits(for_ever()).await, year_3000);
}

#[tokio::test]
async fn smaller_jobs_go_before_one_that_does_not_fit() {
    let fixture = Fixture::new().await;
    fixture.taking(&[budget(10, 7)]).await;
    let also_parked = async |amount: u64| {
        let call = fixture.call().await;
        let candidates = [vec![budget(10, amount)]];
        match fixture.reserve(&call, &candidates, false).await {
            Reserved::Waits { also_parked, .. } => also_parked,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(also_parked(4).await, AlsoParked::Larger);
    fixture.taking(&[budget(10, 1)]).await;
    let small = fixture.call().await;
    let reserved = fixture.reserve(&small, &[vec![budget(10, 2)]], false).await;
    assert_eq!(reserved, Reserved::Yes(0, Turn::default()));
    assert_eq!(fixture.sums("budget:b").await, (0, 10));
    assert_eq!(also_parked(1).await, AlsoParked::All);
}

#[tokio::test]
async fn no_job_goes_before_one_that_fits() {
    let fixture = Fixture::new().await;
    let running = fixture.taking(&[budget(10, 10)]).await;
    fixture.waiter(vec![budget(10, 4)]).await;
    fixture.end(&running, consumed(1, 5)).await;
    let (_, begun) = fixture.try_to_take(&[budget(10, 1)]).await;
    assert_eq!(begun, Begun::Full);
}

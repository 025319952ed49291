//! A provider that rate-limits an account: fewer calls at once, and more again after successes.

use chrono::{DateTime, TimeDelta, Utc};
use longshore_broker::{AccountAccess, AccountHold, Begun, Consumed, SlotLimit};
use longshore_protocol::control::ControlMessage;

use super::{
    fixture::{Fixture, access, account, slot_limit},
    meters::{consumed, slots},
};

async fn cap(fixture: &Fixture) -> Option<String> {
    let key = fixture.key("quota:slots:m");
    fixture.ask(&["HGET", &key, "cap"]).await
}

/// The provider rejects a call; there are eight slots.
async fn refuse(fixture: &Fixture) {
    fixture
        .broker
        .limits()
        .hold_account(
            &account("m"),
            None,
            "busy",
            Some(slot_limit(8)),
            &access("m", 1),
        )
        .await
        .unwrap();
}

/// Makes the sample of calls a second old.
async fn a_second_passes(fixture: &Fixture) {
    let then = fixture.broker.server().time_ms().await.unwrap() - 1_000;
    let key = fixture.key("quota:slots:m");
    let () = fixture
        .ask(&["HSET", &key, "sampled", &then.to_string()])
        .await;
}

/// A second in which this many calls are answered and, beside the one that begins the sample, this many refused.
async fn sample(fixture: &Fixture, answered: usize, refused: usize) {
    refuse(fixture).await;
    for _ in 0..answered {
        let call = fixture.taking(&[slots(8)]).await;
        fixture.end(&call, consumed(1, 1)).await;
    }
    for _ in 1..refused {
        refuse(fixture).await;
    }
    a_second_passes(fixture).await;
    refuse(fixture).await;
}

/// All calls of a second are rejected.
async fn cut(fixture: &Fixture) {
    sample(fixture, 0, 3).await;
}

#[tokio::test]
async fn slots_are_halved_once_a_second_while_all_calls_are_refused() {
    let fixture = Fixture::new().await;
    for _ in 0..20 {
        refuse(&fixture).await;
        assert_eq!(cap(&fixture).await, None, "the second is not over");
    }
    a_second_passes(&fixture).await;
    refuse(&fixture).await;
    assert_eq!(cap(&fixture).await.as_deref(), Some("4.0000"));
    for expected in ["2.0000", "1.0000", "1.0000"] {
        cut(&fixture).await;
        assert_eq!(cap(&fixture).await.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn slots_are_cut_by_the_share_of_refused_calls() {
    for (answered, refused, expected) in [
        (9, 3, Some("6.0000")),
        (7, 3, Some("5.6000")),
        (3, 3, Some("4.0000")),
        (60, 3, None),
        (99, 1, None),
    ] {
        let fixture = Fixture::new().await;
        sample(&fixture, answered, refused).await;
        assert_eq!(
            cap(&fixture).await.as_deref(),
            expected,
            "{answered}:{refused}"
        );
    }
}

#[tokio::test]
async fn a_few_calls_are_no_sample() {
    let fixture = Fixture::new().await;
    sample(&fixture, 2, 1).await;
    assert_eq!(cap(&fixture).await, None);
    // The same sample continues.
    for _ in 0..2 {
        refuse(&fixture).await;
    }
    assert_eq!(cap(&fixture).await.as_deref(), Some("4.0000"));
}

#[tokio::test]
async fn no_more_jobs_begin_than_there_are_slots() {
    let fixture = Fixture::new().await;
    let mut calls = Vec::new();
    for _ in 0..6 {
        calls.push(fixture.taking(&[slots(8)]).await);
    }
    cut(&fixture).await;
    for call in calls.into_iter().take(3) {
        assert_eq!(fixture.try_to_take(&[slots(8)]).await.1, Begun::Full);
        fixture.end(&call, Consumed::Unknown).await;
    }
    fixture.taking(&[slots(8)]).await;
    assert_eq!(fixture.try_to_take(&[slots(8)]).await.1, Begun::Full);
}

#[tokio::test]
async fn each_round_of_answers_regains_a_slot() {
    let fixture = Fixture::new().await;
    cut(&fixture).await;
    let mut answers = 0;
    while let Some(text) = cap(&fixture).await {
        let before: f64 = text.parse().unwrap();
        let call = fixture.taking(&[slots(8)]).await;
        fixture.end(&call, consumed(1, 1)).await;
        let after: f64 = cap(&fixture)
            .await
            .map_or(8.0, |text| text.parse().unwrap());
        assert!(
            (after - (before + 1.0 / before).min(8.0)).abs() < 0.01,
            "{before} {after}"
        );
        answers += 1;
    }
    // 4 and 5 and 6 and 7, or a few less, because slots are regained in between.
    assert!((20..=24).contains(&answers), "{answers}");
}

#[tokio::test]
async fn unanswered_calls_regain_no_slot() {
    let fixture = Fixture::new().await;
    cut(&fixture).await;
    let refused = Consumed::Known {
        tokens: 0,
        requests: 1,
        nanos: 0,
        answered: false,
    };
    for consumed in [Consumed::Unknown, refused] {
        let call = fixture.taking(&[slots(8)]).await;
        fixture.end(&call, consumed).await;
        assert_eq!(cap(&fixture).await.as_deref(), Some("4.0000"));
    }
}

#[tokio::test]
async fn a_regained_slot_goes_to_a_parked_job() {
    let fixture = Fixture::new().await;
    let key = fixture.key("quota:slots:m");
    let () = fixture.ask(&["HSET", &key, "cap", "1.9999"]).await;
    let call = fixture.taking(&[slots(8)]).await;
    for _ in 0..3 {
        fixture.waiter(vec![slots(8)]).await;
    }
    fixture.end(&call, consumed(1, 1)).await;
    assert_eq!(
        fixture.release_to("b").await.len(),
        2,
        "its own, and a new one"
    );
}

#[tokio::test]
async fn an_account_hold_is_published_to_all_workers() {
    let fixture = Fixture::new().await;
    let mut control = fixture.broker.workers().subscribe_control().await.unwrap();
    // A shorter hold is not published.
    for until in [5_000, 4_000, 6_000] {
        fixture
            .broker
            .limits()
            .hold_account(
                &account("m"),
                DateTime::from_timestamp_millis(until),
                "busy",
                None,
                &access("m", 1),
            )
            .await
            .unwrap();
    }
    for until in [5_000, 6_000] {
        let expected = ControlMessage::AccountHeld {
            account: "m".to_owned(),
            until: DateTime::from_timestamp_millis(until).unwrap(),
        };
        assert_eq!(control.next().await.unwrap(), expected);
    }
    assert_eq!(
        fixture
            .broker
            .limits()
            .account_holds(DateTime::UNIX_EPOCH)
            .await
            .unwrap(),
        [AccountHold {
            access: Some(access("m", 1)),
            account: account("m"),
            until: DateTime::from_timestamp_millis(6_000).unwrap(),
            reason: "busy".to_owned(),
        }]
    );
    assert_eq!(cap(&fixture).await, None);
}

#[tokio::test]
async fn slots_that_follow_from_other_limits_are_cut_from_the_calls_in_flight() {
    let fixture = Fixture::new().await;
    let implied = SlotLimit {
        is_implied: true,
        ..slot_limit(3_000)
    };
    let refuse = async || {
        let limits = fixture.broker.limits();
        limits
            .hold_account(&account("m"), None, "busy", Some(implied), &access("m", 1))
            .await
            .unwrap();
    };
    let mut calls = Vec::new();
    for _ in 0..12 {
        calls.push(fixture.taking(&[slots(3_000)]).await);
    }
    for _ in 0..3 {
        refuse().await;
    }
    // Calls end while the sample lasts; most were in flight before.
    for call in calls.drain(..6) {
        fixture.end(&call, Consumed::Unknown).await;
    }
    a_second_passes(&fixture).await;
    refuse().await;
    assert_eq!(cap(&fixture).await.as_deref(), Some("6.0000"));
    assert_eq!(fixture.try_to_take(&[slots(3_000)]).await.1, Begun::Full);
}

#[tokio::test]
async fn the_hold_of_another_key_gives_way() {
    let fixture = Fixture::new().await;
    let (limits, m) = (fixture.broker.limits(), account("m"));
    let now = DateTime::from_timestamp_millis(fixture.broker.server().time_ms().await.unwrap());
    let now = now.unwrap();
    let (hour, minute) = (now + TimeDelta::hours(1), now + TimeDelta::minutes(1));
    let hold = async |until, access: &AccountAccess| {
        limits
            .hold_account(&m, Some(until), "used up", None, access)
            .await
            .unwrap();
    };
    let held = async || {
        let holds = limits.account_holds(now).await.unwrap();
        holds
            .into_iter()
            .map(|hold| (hold.until, hold.access))
            .next()
    };
    let until = |at: DateTime<Utc>| DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap();
    let (old, new) = (access("m", 1), access("m", 2));
    hold(hour, &old).await;
    // Another provider of the account does not know better.
    hold(minute, &access("other", 2)).await;
    assert_eq!(held().await, Some((until(hour), Some(old.clone()))));
    hold(minute, &new).await;
    assert_eq!(held().await, Some((until(minute), Some(new.clone()))));

    assert_eq!(limits.release_outdated(&m, &old).await.unwrap(), None);
    assert_eq!(limits.release_outdated(&m, &new).await.unwrap(), Some(0));
    assert_eq!(held().await, None);
    // Workers with two keys do not release each other's holds in turns without end; people may.
    hold(hour, &old).await;
    assert_eq!(limits.release_outdated(&m, &old).await.unwrap(), None);
    assert_eq!(limits.release_account(&m).await.unwrap(), Some(0));
    assert_eq!(held().await, None);
}

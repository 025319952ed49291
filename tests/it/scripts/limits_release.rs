//! Releasing jobs from lanes with open gates: no more than there is room for, and all when there is.

use std::time::Duration;

use longshore_broker::{AlsoParked, Consumed, Reserved, Turn};
use longshore_policy::limits::{MeterAmount, Pacing};

use super::{
    fixture::{BEGUN, Fixture, access, account},
    meters::{BEFORE, Call, budget, consumed, ids, requests, slots, slots_of, tokens, window},
};

/// Parks `count` new jobs.
async fn wait(fixture: &Fixture, amounts: &[MeterAmount], count: usize) -> Vec<String> {
    let mut jobs = Vec::new();
    for _ in 0..count {
        jobs.push(fixture.waiter(amounts.to_vec()).await.to_string());
    }
    jobs
}

/// Begins the released jobs.
async fn begin_all(fixture: &Fixture, amounts: &[MeterAmount]) -> Vec<Call> {
    let gone = fixture.release_to("b").await;
    for call in &gone {
        assert_eq!(fixture.begin_taking(call, amounts, true).await, BEGUN);
    }
    gone
}

#[tokio::test]
async fn a_window_releases_no_more_than_it_has_room_for() {
    let fixture = Fixture::new().await;
    let running = fixture.taking(&[budget(10, 10)]).await;
    let jobs = wait(&fixture, &[budget(10, 2)], 5).await;
    assert_eq!(fixture.open_and_let_go("budget:b").await, 0);
    fixture.end(&running, consumed(1, 6)).await;

    assert_eq!(fixture.broker.lanes().release(1000).await.unwrap().jobs, 2);
    assert_eq!(
        fixture.open_and_let_go("budget:b").await,
        0,
        "those two have not begun yet"
    );
    let gone = begin_all(&fixture, &[budget(10, 2)]).await;
    assert_eq!(ids(&gone), [jobs[0].as_str(), jobs[1].as_str()]);
    assert_eq!(fixture.open_and_let_go("budget:b").await, 0);
    // They use less than they reserved.
    for call in &gone {
        fixture.end(call, consumed(1, 1)).await;
    }
    assert_eq!(fixture.broker.lanes().release(1000).await.unwrap().jobs, 1);
    let gone = begin_all(&fixture, &[budget(10, 2)]).await;
    assert_eq!(ids(&gone), [jobs[2].as_str()]);
}

#[tokio::test]
async fn a_windows_end_releases_what_the_next_has_room_for() {
    let fixture = Fixture::new().await;
    let (old, new) = (window("budget:b", BEFORE, 8, 4), budget(8, 4));
    for _ in 0..2 {
        let call = fixture.taking(std::slice::from_ref(&old)).await;
        fixture.end(&call, Consumed::Unknown).await;
    }
    let jobs = wait(&fixture, &[old], 5).await;

    assert_eq!(fixture.broker.lanes().release(1000).await.unwrap().jobs, 2);
    assert_eq!(fixture.open_and_let_go("budget:b").await, 0);
    let mut gone = fixture.release_to("b").await;
    let second = gone.pop().unwrap();
    let new = std::slice::from_ref(&new);
    assert_eq!(fixture.begin_taking(&gone[0], new, true).await, BEGUN);
    assert_eq!(
        fixture.open_and_let_go("budget:b").await,
        0,
        "the second is still on its way"
    );
    assert_eq!(fixture.begin_taking(&second, new, true).await, BEGUN);
    assert_eq!(fixture.open_and_let_go("budget:b").await, 0);
    assert_eq!(fixture.lane("budget:b").await, jobs[2..]);
    assert_eq!(fixture.sums("budget:b").await, (0, 8));
}

/// Otherwise they would wait for the end of the window that has just begun.
#[tokio::test]
async fn a_new_job_of_the_next_window_does_not_block_parked_ones() {
    let fixture = Fixture::new().await;
    let old = window("budget:b", BEFORE, 10, 1);
    let full = fixture.taking(&[window("budget:b", BEFORE, 10, 10)]).await;
    fixture.end(&full, Consumed::Unknown).await;
    let mut jobs = wait(&fixture, &[old], 2).await;
    jobs.extend(wait(&fixture, &[budget(10, 1)], 1).await);
    assert_eq!(fixture.open_and_let_go("budget:b").await, 3);
    assert_eq!(ids(&begin_all(&fixture, &[budget(10, 1)]).await), jobs);
}

#[tokio::test]
async fn a_small_job_does_not_wait_behind_a_large_one() {
    let fixture = Fixture::new().await;
    let running = fixture.taking(&[budget(10, 10)]).await;
    let small = wait(&fixture, &[budget(10, 1)], 1).await;
    let large = wait(&fixture, &[budget(10, 9)], 1).await;
    let last = wait(&fixture, &[budget(10, 9)], 1).await;
    fixture.end(&running, consumed(1, 5)).await;

    assert_eq!(fixture.broker.lanes().release(1000).await.unwrap().jobs, 1);
    assert_eq!(ids(&begin_all(&fixture, &[budget(10, 1)]).await), small);
    // The next one's amount is unknown: it is released, and returns to the head.
    fixture.open_and_let_go("budget:b").await;
    for call in fixture.release_to("b").await {
        let reserved = fixture.reserve(&call, &[vec![budget(10, 9)]], true).await;
        assert!(matches!(reserved, Reserved::Waits { .. }), "{reserved:?}");
    }
    let lane = fixture.lane("budget:b").await;
    assert_eq!(lane, [large, last].concat());
    a_second_passes(&fixture, "budget:b").await;
    assert_eq!(
        fixture.open_and_let_go("budget:b").await,
        0,
        "now it is known"
    );
}

/// Makes the last release a second old.
async fn a_second_passes(fixture: &Fixture, meter: &str) {
    let key = fixture.key(&format!("quota:{meter}"));
    let () = fixture.ask(&["HSET", &key, "released_at", "0"]).await;
}

#[tokio::test]
async fn room_unused_by_released_jobs_goes_to_others() {
    let fixture = Fixture::new().await;
    let running = fixture.taking(&[budget(10, 10)]).await;
    let jobs = wait(&fixture, &[budget(10, 5)], 4).await;
    fixture.end(&running, consumed(1, 0)).await;
    assert_eq!(fixture.broker.lanes().release(1000).await.unwrap().jobs, 2);
    fixture.release_to("b").await;
    a_second_passes(&fixture, "budget:b").await;
    assert_eq!(fixture.open_and_let_go("budget:b").await, 2);
    assert_eq!(ids(&fixture.release_to("b").await), jobs[2..]);
}

#[tokio::test]
async fn a_rate_releases_the_jobs_of_one_second() {
    let fixture = Fixture::new().await;
    let take = [requests(60)];
    for _ in 0..3 {
        fixture.try_to_take(&take).await;
    }
    let jobs = wait(&fixture, &take, 4).await;
    fixture.open("rpm:m").await;
    let scanned = fixture.broker.lanes().release(1000).await.unwrap();
    assert_eq!(scanned.jobs, 0);
    let again = scanned.again.unwrap();
    let two = Duration::from_secs(2);
    assert!((two / 2..=two).contains(&again), "{again:?}");

    // After that time one is released now, and one a second later.
    let key = fixture.key("quota:rpm:m");
    let () = fixture
        .ask(&["HSET", &key, "full_at", "0", "next_turn", "0"])
        .await;
    assert_eq!(fixture.open_and_let_go("rpm:m").await, 2);
    assert_eq!(fixture.open_and_let_go("rpm:m").await, 0);
    let gone = fixture.release_to("b").await;
    assert_eq!(ids(&gone), jobs[..2]);
    for call in gone {
        let begun = fixture.begin_taking(&call, &take, true).await;
        assert!(matches!(begun, longshore_broker::Begun::Yes(_)));
    }
}

#[tokio::test]
async fn unused_tokens_release_the_next_job_sooner() {
    let fixture = Fixture::new().await;
    // About 27 s of the rate for each call.
    let take = [tokens(6_000, 2_500)];
    assert!(Pacing::tokens(6_000).cost_micros(2_500) > 20_000_000);
    let running = fixture.taking(&take).await;
    wait(&fixture, &take, 3).await;
    fixture.end(&running, consumed(1, 1)).await;
    assert_eq!(fixture.open_and_let_go("tpm:m").await, 1);
    for round in 0..2 {
        assert_eq!(fixture.open_and_let_go("tpm:m").await, 0, "{round}");
        let gone = fixture.release_to("b").await;
        let begun = fixture.begin_taking(&gone[0], &take, true).await;
        assert!(matches!(begun, longshore_broker::Begun::Yes(_)));
        fixture.end(&gone[0], consumed(1, 1)).await;
        assert_eq!(fixture.open_and_let_go("tpm:m").await, 1, "{round}");
    }
}

#[tokio::test]
async fn no_more_jobs_are_released_than_slots_are_free() {
    let fixture = Fixture::new().await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        calls.push(fixture.taking(&[slots(3)]).await);
    }
    wait(&fixture, &[slots(3)], 6).await;
    assert_eq!(fixture.open_and_let_go("slots:m").await, 0);
    // They were freed without a release.
    let () = fixture.ask(&["DEL", &fixture.key("slots:slots:m")]).await;
    assert_eq!(fixture.open_and_let_go("slots:m").await, 3);
    begin_all(&fixture, &[slots(3)]).await;
    assert_eq!(fixture.open_and_let_go("slots:m").await, 0);
    // Fewer slots remain.
    let () = fixture.ask(&["DEL", &fixture.key("slots:slots:m")]).await;
    let meter = fixture.key("quota:slots:m");
    let () = fixture.ask(&["HSET", &meter, "cap", "1.5"]).await;
    assert_eq!(fixture.open_and_let_go("slots:m").await, 1);
}

#[tokio::test]
async fn no_more_jobs_are_released_than_half_of_what_is_left_of_the_day() {
    let fixture = Fixture::new().await;
    let half = MeterAmount::Slots {
        meter: "slots:m".to_owned(),
        limit: 9,
        half_of: Some(("rpd:m".to_owned(), 4)),
    };
    let amounts = [window("rpd:m", super::meters::NOW, 4, 1), half];
    let call = fixture.taking(&amounts).await;
    wait(&fixture, &amounts, 3).await;
    let () = fixture.ask(&["DEL", &fixture.key("slots:slots:m")]).await;
    assert_eq!(fixture.open_and_let_go("slots:m").await, 1);
    drop(call);
}

#[tokio::test]
async fn a_release_is_limited_and_the_rest_follows_soon() {
    let fixture = Fixture::new().await;
    let running = fixture.taking(&[budget(10, 10)]).await;
    wait(&fixture, &[budget(10, 1)], 5).await;
    fixture.end(&running, consumed(1, 0)).await;
    for expected in [2, 2, 1] {
        let scanned = fixture.broker.lanes().release(2).await.unwrap();
        assert_eq!(scanned.jobs, expected);
        if let Some(again) = scanned.again {
            assert!(again < Duration::from_millis(100), "{again:?}");
        }
        fixture.open("budget:b").await;
    }
    let scanned = fixture.broker.lanes().release(2).await.unwrap();
    assert_eq!((scanned.jobs, scanned.again), (0, None), "nobody waits");
    assert_eq!(fixture.gate("budget:b").await, None);
}

#[tokio::test]
async fn a_lane_with_a_closed_gate_is_not_scanned() {
    let fixture = Fixture::new().await;
    let full = fixture.taking(&[budget(10, 10)]).await;
    fixture.end(&full, Consumed::Unknown).await;
    wait(&fixture, &[budget(10, 1)], 2).await;
    let before = fixture.snapshot().await;
    let scanned = fixture.broker.lanes().release(1000).await.unwrap();
    assert_eq!(scanned.jobs, 0);
    assert!(scanned.again.unwrap() > Duration::from_hours(24));
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn a_limit_whose_keys_were_deleted_blocks_nobody() {
    let fixture = Fixture::new().await;
    fixture.taking(&[budget(10, 10)]).await;
    wait(&fixture, &[budget(10, 1)], 2).await;
    let () = fixture.ask(&["DEL", &fixture.key("quota:budget:b")]).await;
    assert_eq!(fixture.open_and_let_go("budget:b").await, 2);
}

/// Has all lanes tried again.
async fn retry_lanes(fixture: &Fixture) {
    let key = fixture.key("lanes:retry");
    let () = fixture.ask(&["ZADD", &key, "0", "test"]).await;
}

#[tokio::test]
async fn jobs_of_a_full_lane_are_tried_again_when_another_platform_may_have_room() {
    let fixture = Fixture::new().await;
    let _running = fixture.taking(&[slots(1)]).await;
    let jobs = wait(&fixture, &[slots(1)], 10).await;
    assert_eq!(fixture.open_and_let_go("slots:m").await, 0);

    retry_lanes(&fixture).await;
    let other_platform = || vec![vec![slots(1)], Vec::new()];
    let mut first = 0;
    for expected in [1, 2, 4, 3] {
        assert_eq!(fixture.open_and_let_go("slots:m").await, expected);
        let released = fixture.release_to("b").await;
        assert_eq!(ids(&released), jobs[first..first + expected]);
        first += expected;
        for call in &released {
            let reserved = fixture.reserve(call, &other_platform(), true).await;
            assert_eq!(reserved, Reserved::Yes(1, Turn::default()));
        }
    }
    assert!(fixture.lane("slots:m").await.is_empty());
}

#[tokio::test]
async fn jobs_of_a_full_queue_are_tried_again_when_its_limit_may_have_changed() {
    let fixture = Fixture::new().await;
    let of_queue = |limit| vec![slots_of("queue_slots:bulk", limit)];
    let running = fixture.taking(&of_queue(1)).await;
    wait(&fixture, &of_queue(1), 4).await;
    retry_lanes(&fixture).await;
    let let_go = async || fixture.open_and_let_go("queue_slots:bulk").await;
    assert_eq!(let_go().await, 0, "no other platform has room for them");

    fixture.broker.lanes().retry_all().await.unwrap();
    assert_eq!(let_go().await, 1);
    let first = begin_all(&fixture, &of_queue(3)).await;
    assert_eq!(let_go().await, 2);
    let [second, third] = &*fixture.release_to("b").await else {
        panic!("two are released");
    };
    let begun = fixture.begin_taking(second, &of_queue(3), true).await;
    assert_eq!(begun, BEGUN);
    let reserved = fixture.reserve(third, &[of_queue(3)], true).await;
    let waits = matches!(
        &reserved,
        Reserved::Waits { also_parked: AlsoParked::None, meter, waiting: 2, .. }
            if meter == "queue_slots:bulk"
    );
    assert!(waits, "{reserved:?}");
    assert_eq!(let_go().await, 0, "by the new limit");
    fixture.end(&running, consumed(1, 1)).await;
    fixture.end(&first[0], consumed(1, 1)).await;
    assert_eq!(
        fixture.release_to("b").await.len(),
        1,
        "the first slot was too many"
    );
    assert_eq!(let_go().await, 1);
}

#[tokio::test]
async fn a_lane_whose_job_finds_no_room_anywhere_is_left_alone() {
    let fixture = Fixture::new().await;
    let _running = fixture.taking(&[slots(1)]).await;
    wait(&fixture, &[slots(1)], 10).await;
    retry_lanes(&fixture).await;
    assert_eq!(fixture.open_and_let_go("slots:m").await, 1);
    for call in fixture.release_to("b").await {
        let reserved = fixture.reserve(&call, &[vec![slots(1)]], true).await;
        assert!(matches!(reserved, Reserved::Waits { .. }), "{reserved:?}");
    }
    assert_eq!(fixture.lane("slots:m").await.len(), 10);
    assert_eq!(fixture.open_and_let_go("slots:m").await, 0);
}

#[tokio::test]
async fn lanes_are_tried_again_when_a_hold_ends_and_when_a_lane_runs_empty() {
    let fixture = Fixture::new().await;
    let until = fixture.broker.server().time_ms().await.unwrap() + 60_000;
    let hold = async || {
        let until = chrono::DateTime::from_timestamp_millis(until);
        let limits = fixture.broker.limits();
        limits
            .hold_account(&account("m"), until, "busy", None, &access("m", 1))
            .await
            .unwrap();
    };
    let retries = async || {
        let key = fixture.key("lanes:retry");
        let words = ["ZRANGE", &key, "0", "-1", "WITHSCORES"];
        fixture.ask::<Vec<(String, i64)>>(&words).await
    };
    hold().await;
    assert_eq!(retries().await, [], "nothing is parked");

    let running = fixture.taking(&[slots(1)]).await;
    wait(&fixture, &[slots(1)], 1).await;
    let () = fixture.ask(&["DEL", &fixture.key("account:holds")]).await;
    hold().await;
    assert_eq!(retries().await, [("account m".to_owned(), until)]);

    let other = slots_of("slots:other", 1);
    fixture.taking(std::slice::from_ref(&other)).await;
    wait(&fixture, &[other], 1).await;
    // The slot goes to the parked job, and the lane is empty when it is checked.
    fixture.end(&running, consumed(1, 1)).await;
    fixture.open_and_let_go("slots:m").await;
    let reasons: Vec<String> = retries()
        .await
        .into_iter()
        .map(|(reason, _)| reason)
        .collect();
    assert_eq!(reasons, ["empty lane", "account m"]);
}

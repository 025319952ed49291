//! Settling a job: in one step, once.

use std::collections::BTreeMap;

use longshore_broker::{Consumed, Ending, Fence};
use longshore_protocol::{id::AttemptId, reply::ReplyTo};

use super::fixture::{BEGUN, Fixture, ending, job_id, stored, written};

#[tokio::test]
async fn settling_applies_all_effects_at_once() {
    let fixture = Fixture::new().await;
    let (held, job, attempt) = fixture.running("a").await;
    let letter = job_id("the-letter");
    let all = Ending {
        reply: Some(&ReplyTo::Anyone),
        dead_letter: Some((&letter, written("why it died"))),
        ..ending(attempt)
    };
    let before = fixture.broker.server().time_ms().await.unwrap();
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &all)
            .await
            .unwrap(),
        Fence::Held
    );
    let after = fixture.broker.server().time_ms().await.unwrap();

    assert_eq!(fixture.events().await, [("ended".to_owned(), false)]);
    assert_eq!(
        fixture
            .ask::<String>(&["GET", &fixture.key(&format!("result:{job}"))])
            .await,
        "outcome"
    );
    let reply = fixture.key(&format!("reply:{job}"));
    assert_eq!(
        fixture
            .ask::<Vec<String>>(&["LRANGE", &reply, "0", "-1"])
            .await,
        ["outcome"]
    );
    for kept in ["result", "reply"] {
        let seconds: u64 = fixture
            .ask(&["TTL", &fixture.key(&format!("{kept}:{job}"))])
            .await;
        assert!((3500..=3600).contains(&seconds), "{kept}: {seconds}");
    }
    let letters = BTreeMap::from([(held.entry_id.to_string(), "why it died".to_owned())]);
    assert_eq!(fixture.hash("dead:jobs").await, letters);
    let died: i64 = fixture
        .ask(&["ZSCORE", &fixture.key("dead"), held.entry_id.as_str()])
        .await;
    assert!((before..=after).contains(&died), "{before} {died} {after}");

    let () = fixture
        .ask(&[
            "DEL",
            &fixture.key("dead"),
            &fixture.key("dead:jobs"),
            &fixture.key("dead:ids"),
            &reply,
        ])
        .await;
    fixture.assert_nothing_is_left().await;
}

#[tokio::test]
async fn an_outcome_that_nobody_requested_is_kept_for_minutes() {
    let requests = [
        (false, false, 250..=300),
        (true, false, 3500..=3600),
        (false, true, 3500..=3600),
    ];
    for (reply, keep_result, expected) in requests {
        let fixture = Fixture::new().await;
        let (held, job, attempt) = fixture.running("a").await;
        let settlement = Ending {
            reply: reply.then_some(&ReplyTo::Anyone),
            keep_result,
            ..ending(attempt)
        };
        let fence = fixture.broker.deliveries().settle(&held, &job, &settlement);
        assert_eq!(fence.await.unwrap(), Fence::Held);
        let seconds: u64 = fixture
            .ask(&["TTL", &fixture.key(&format!("result:{job}"))])
            .await;
        assert!(
            expected.contains(&seconds),
            "reply {reply}, keep_result {keep_result}: {seconds}"
        );
    }
}

#[tokio::test]
async fn a_reply_key_that_a_producer_took_does_not_stop_the_settling() {
    for command in [
        &["XADD", "KEY", "*", "a", "b"][..],
        &["SET", "KEY", "a"],
        &["SADD", "KEY", "a"],
    ] {
        let fixture = Fixture::new().await;
        let (held, job, attempt) = fixture.running("a").await;
        let reply = fixture.key(&format!("reply:{job}"));
        let words: Vec<&str> = command
            .iter()
            .map(|word| if *word == "KEY" { &reply } else { *word })
            .collect();
        let _taken: redis::Value = fixture.ask(&words).await;
        let settlement = Ending {
            reply: Some(&ReplyTo::Anyone),
            ..ending(attempt)
        };
        let fence = fixture
            .broker
            .deliveries()
            .settle(&held, &job, &settlement)
            .await
            .unwrap();
        assert_eq!(fence, Fence::Held, "{command:?}");
        let replies: Vec<String> = fixture.ask(&["LRANGE", &reply, "0", "-1"]).await;
        assert_eq!(replies, ["outcome"], "{command:?}");
        let () = fixture.ask(&["DEL", &reply]).await;
        fixture.assert_nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_job_whose_settling_fails_does_not_fail_others_of_its_batch() {
    let fixture = Fixture::new().await;
    let mut running = Vec::new();
    for _ in 0..12 {
        running.push(fixture.running("a").await);
    }
    // Damaged by hand: no dead letter can be stored.
    let () = fixture
        .ask(&["SET", &fixture.key("dead:jobs"), "damaged"])
        .await;
    let (culprit, innocent) = running.split_first().unwrap();
    let deliveries = fixture.broker.deliveries();
    let letter = job_id("the-letter");
    let buried = Ending {
        dead_letter: Some((&letter, written("why it died"))),
        ..ending(culprit.2)
    };
    let endings: Vec<Ending<'_>> = innocent
        .iter()
        .map(|(_, _, attempt)| ending(*attempt))
        .collect();
    let settlements = innocent
        .iter()
        .zip(&endings)
        .map(|((held, job, _), ending)| deliveries.settle(held, job, ending));
    let (failed, settled) = tokio::join!(
        deliveries.settle(&culprit.0, &culprit.1, &buried),
        futures::future::join_all(settlements)
    );
    let error = failed.unwrap_err().to_string();
    assert!(error.contains("WRONGTYPE"), "{error}");
    for fence in settled {
        assert_eq!(fence.unwrap(), Fence::Held);
    }
    // Once it is mended, the job is settled as if for the first time.
    let () = fixture.ask(&["DEL", &fixture.key("dead:jobs")]).await;
    let again = deliveries.settle(&culprit.0, &culprit.1, &buried).await;
    assert_eq!(again.unwrap(), Fence::Held);
    assert_eq!(fixture.hash("dead:jobs").await.len(), 1);
}

#[tokio::test]
async fn settling_writes_no_outcome_or_dead_letter_unasked() {
    let fixture = Fixture::new().await;
    let (held, job) = fixture.job("a").await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &Ending::default())
            .await
            .unwrap(),
        Fence::Held
    );
    fixture.assert_nothing_is_left().await;
    assert!(
        !fixture
            .names()
            .await
            .iter()
            .any(|name| name.starts_with("result:"))
    );
    assert_eq!(fixture.events().await, []);
}

#[tokio::test]
async fn settling_removes_the_checkpoint() {
    let fixture = Fixture::new().await;
    let (held, _, _) = fixture.running("dead").await;
    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let delivered = fixture.read_one("a").await;
    assert_eq!(
        (delivered.crashes, &delivered.delivery.entry_id),
        (1, &held.entry_id)
    );
    let (held, job) = (
        delivered.delivery,
        longshore_protocol::id::JobId::from_entry(&held.entry_id),
    );
    let attempt = AttemptId::new();
    assert_eq!(fixture.begin(&held, &job, attempt, None).await, BEGUN);
    let fence = fixture
        .broker
        .deliveries()
        .fail(
            &held,
            attempt,
            stored("failed"),
            None,
            stored("{}"),
            Consumed::NothingTaken,
        )
        .await
        .unwrap();
    assert_eq!(fence, Fence::Held);
    assert!(fixture.broker.jobs().cancel(&job, None).await.unwrap());

    let end = Ending {
        attempt: None,
        has_stored_state: true,
        ..ending(attempt)
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &end)
            .await
            .unwrap(),
        Fence::Held
    );
    fixture.assert_nothing_is_left().await;
}

/// Otherwise the next job of the same id would be cancelled.
#[tokio::test]
async fn a_late_cancellation_is_removed_with_the_job() {
    let fixture = Fixture::new().await;
    let (held, job, attempt) = fixture.running("a").await;
    assert!(fixture.broker.jobs().cancel(&job, None).await.unwrap());
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &ending(attempt))
            .await
            .unwrap(),
        Fence::Held
    );
    assert!(
        !fixture
            .broker
            .jobs()
            .is_cancel_requested(&job)
            .await
            .unwrap()
    );
    fixture.assert_nothing_is_left().await;
}

/// Such a message has the id of another job, which it must not change.
#[tokio::test]
async fn settling_without_an_outcome_keeps_a_cancellation_of_the_same_id() {
    let fixture = Fixture::new().await;
    let namesake = job_id("inv-1");
    assert!(fixture.broker.jobs().cancel(&namesake, None).await.unwrap());
    let (held, _) = fixture.job("a").await;
    let letter = longshore_protocol::id::JobId::from_entry(&held.entry_id);
    let conflict = Ending {
        dead_letter: Some((&letter, written("id_conflict"))),
        ..Ending::default()
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &namesake, &conflict)
            .await
            .unwrap(),
        Fence::Held
    );
    assert!(
        fixture
            .broker
            .jobs()
            .is_cancel_requested(&namesake)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn settling_twice_equals_once() {
    let fixture = Fixture::new().await;
    let (held, job, attempt) = fixture.running("a").await;
    let end = Ending {
        reply: Some(&ReplyTo::Anyone),
        dead_letter: Some((&job, written("letter"))),
        ..ending(attempt)
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &end)
            .await
            .unwrap(),
        Fence::Held
    );
    let before = fixture.snapshot_but_events().await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &end)
            .await
            .unwrap(),
        Fence::Lost
    );
    assert_eq!(fixture.snapshot_but_events().await, before);
    // The ledger has the attempt already; a second event with less information changes nothing there.
    assert_eq!(
        fixture.events().await,
        [("ended".to_owned(), false), ("ended".to_owned(), true)]
    );
}

#[tokio::test]
async fn settling_twice_before_any_attempt_equals_once() {
    let fixture = Fixture::new().await;
    let (held, job) = fixture.job("a").await;
    let end = Ending {
        attempt: None,
        ..ending(AttemptId::new())
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &end)
            .await
            .unwrap(),
        Fence::Held
    );
    let before = fixture.snapshot().await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &end)
            .await
            .unwrap(),
        Fence::Lost
    );
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn a_worker_that_lost_the_entry_settles_nothing() {
    let fixture = Fixture::new().await;
    let (held, job) = fixture.job("a").await;
    fixture.steal(&held, "b").await;
    let before = fixture.snapshot().await;
    let end = Ending {
        attempt: None,
        ..ending(AttemptId::new())
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &end)
            .await
            .unwrap(),
        Fence::Lost
    );
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn another_attempt_settles_nothing_but_is_recorded() {
    let fixture = Fixture::new().await;
    let (held, job, _) = fixture.running("a").await;
    let before = fixture.snapshot_but_events().await;
    let end = Ending {
        reply: Some(&ReplyTo::Anyone),
        has_stored_state: true,
        dead_letter: Some((&job, written("letter"))),
        ..ending(AttemptId::new())
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &end)
            .await
            .unwrap(),
        Fence::Lost
    );
    assert_eq!(fixture.snapshot_but_events().await, before);
    assert_eq!(fixture.events().await, [("ended".to_owned(), true)]);
}

#[tokio::test]
async fn a_job_run_by_two_workers_ends_once() {
    let fixture = Fixture::new().await;
    let (stopped, job, first) = fixture.running("a").await;
    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let held = fixture.read_one("b").await.delivery;
    let second = AttemptId::new();

    // A revived worker changes nothing, neither between the other's delivery and its attempt nor during the
    // attempt.
    let late = Ending {
        outcome: stored("late"),
        ..ending(first)
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&stopped, &job, &late)
            .await
            .unwrap(),
        Fence::Lost
    );
    assert_eq!(fixture.begin(&held, &job, second, None).await, BEGUN);
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&stopped, &job, &late)
            .await
            .unwrap(),
        Fence::Lost
    );
    let kept = Ending {
        has_stored_state: true,
        ..ending(second)
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &kept)
            .await
            .unwrap(),
        Fence::Held
    );
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&stopped, &job, &late)
            .await
            .unwrap(),
        Fence::Lost
    );

    let result: String = fixture
        .ask(&["GET", &fixture.key(&format!("result:{job}"))])
        .await;
    assert_eq!(result, "outcome");
    let duplicates = fixture
        .events()
        .await
        .iter()
        .filter(|(_, duplicate)| *duplicate)
        .count();
    assert_eq!(duplicates, 3);
    fixture.assert_nothing_is_left().await;
}

/// A worker whose heartbeat was late may get its own job again and run it beside the old run.
#[tokio::test]
async fn a_job_run_twice_by_one_worker_ends_once() {
    let fixture = Fixture::new().await;
    let (old, job) = fixture.job("a").await;
    let _recovered = fixture
        .broker
        .workers()
        .recover(&fixture.queue, std::time::Duration::ZERO)
        .await
        .unwrap();
    let (new, attempt) = (fixture.read_one("a").await.delivery, AttemptId::new());
    assert_eq!(fixture.begin(&new, &job, attempt, None).await, BEGUN);
    let expired = Ending {
        attempt: None,
        outcome: stored("expired"),
        ..ending(attempt)
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&old, &job, &expired)
            .await
            .unwrap(),
        Fence::Held
    );
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&new, &job, &ending(attempt))
            .await
            .unwrap(),
        Fence::Lost
    );
    let result: String = fixture
        .ask(&["GET", &fixture.key(&format!("result:{job}"))])
        .await;
    assert_eq!(result, "expired");
    fixture.assert_nothing_is_left().await;
}

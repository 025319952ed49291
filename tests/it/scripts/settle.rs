//! A job's end: all of it in one step, once.

use std::collections::BTreeMap;

use longshore_broker::{Ending, Fence, Spent};
use longshore_protocol::id::AttemptId;

use super::room::{BEGUN, Room, ending, job_id};

#[tokio::test]
async fn everything_that_an_end_is_happens_together() {
    let room = Room::new().await;
    let (held, job, attempt) = room.running("a").await;
    let letter = job_id("the-letter");
    let all = Ending {
        reply: true,
        letter: Some((&letter, "why it died")),
        ..ending(attempt)
    };
    let before = room.broker.server_time_ms().await.unwrap();
    assert_eq!(
        room.broker.settle(&held, &job, &all).await.unwrap(),
        Fence::Held
    );
    let after = room.broker.server_time_ms().await.unwrap();

    assert_eq!(room.events().await, [("ended".to_owned(), false)]);
    assert_eq!(
        room.ask::<String>(&["GET", &room.key(&format!("result:{job}"))])
            .await,
        "outcome"
    );
    let reply = room.key(&format!("reply:{job}"));
    assert_eq!(
        room.ask::<Vec<String>>(&["LRANGE", &reply, "0", "-1"])
            .await,
        ["outcome"]
    );
    for kept in ["result", "reply"] {
        let seconds: u64 = room
            .ask(&["TTL", &room.key(&format!("{kept}:{job}"))])
            .await;
        assert!((3500..=3600).contains(&seconds), "{kept}: {seconds}");
    }
    let letters = BTreeMap::from([("the-letter".to_owned(), "why it died".to_owned())]);
    assert_eq!(room.hash("dead:jobs").await, letters);
    let died: i64 = room.ask(&["ZSCORE", &room.key("dead"), "the-letter"]).await;
    assert!((before..=after).contains(&died), "{before} {died} {after}");

    let () = room
        .ask(&["DEL", &room.key("dead"), &room.key("dead:jobs"), &reply])
        .await;
    room.assert_nothing_is_left().await;
}

#[tokio::test]
async fn without_an_outcome_or_a_letter_none_is_written() {
    let room = Room::new().await;
    let (held, job) = room.job("a").await;
    assert_eq!(
        room.broker
            .settle(&held, &job, &Ending::default())
            .await
            .unwrap(),
        Fence::Held
    );
    room.assert_nothing_is_left().await;
    assert!(
        !room
            .names()
            .await
            .iter()
            .any(|name| name.starts_with("result:"))
    );
    assert_eq!(room.events().await, []);
}

#[tokio::test]
async fn what_is_remembered_of_a_place_goes_with_the_job() {
    let room = Room::new().await;
    let (held, _, _) = room.running("dead").await;
    let _recovered = room.broker.recover(&room.queue).await.unwrap();
    let delivered = room.read_one("a").await;
    assert_eq!((delivered.crashes, &delivered.held.place), (1, &held.place));
    let (held, job) = (
        delivered.held,
        longshore_protocol::id::JobId::of_place(&held.place),
    );
    let attempt = AttemptId::new();
    assert_eq!(room.begin(&held, &job, attempt, None).await, BEGUN);
    let fence = room
        .broker
        .fail(&held, attempt, "failed", None, "{}", Spent::NothingTaken)
        .await
        .unwrap();
    assert_eq!(fence, Fence::Held);
    assert!(room.broker.cancel(&job).await.unwrap());

    let end = Ending {
        attempt: None,
        remembered: true,
        ..ending(attempt)
    };
    assert_eq!(
        room.broker.settle(&held, &job, &end).await.unwrap(),
        Fence::Held
    );
    room.assert_nothing_is_left().await;
}

/// The next job of the same id would otherwise be cancelled unheard.
#[tokio::test]
async fn a_request_to_cancel_that_came_too_late_goes_with_the_job() {
    let room = Room::new().await;
    let (held, job, attempt) = room.running("a").await;
    assert!(room.broker.cancel(&job).await.unwrap());
    assert_eq!(
        room.broker
            .settle(&held, &job, &ending(attempt))
            .await
            .unwrap(),
        Fence::Held
    );
    assert!(!room.broker.is_cancelled(&job).await.unwrap());
    room.assert_nothing_is_left().await;
}

/// Such a message bears the id of another job, which it must not touch.
#[tokio::test]
async fn an_end_without_an_outcome_leaves_the_request_to_cancel_the_jobs_namesake() {
    let room = Room::new().await;
    let namesake = job_id("inv-1");
    assert!(room.broker.cancel(&namesake).await.unwrap());
    let (held, _) = room.job("a").await;
    let letter = longshore_protocol::id::JobId::of_place(&held.place);
    let conflict = Ending {
        letter: Some((&letter, "id_conflict")),
        ..Ending::default()
    };
    assert_eq!(
        room.broker
            .settle(&held, &namesake, &conflict)
            .await
            .unwrap(),
        Fence::Held
    );
    assert!(room.broker.is_cancelled(&namesake).await.unwrap());
}

#[tokio::test]
async fn an_end_that_is_asked_for_twice_happens_once() {
    let room = Room::new().await;
    let (held, job, attempt) = room.running("a").await;
    let end = Ending {
        reply: true,
        letter: Some((&job, "letter")),
        ..ending(attempt)
    };
    assert_eq!(
        room.broker.settle(&held, &job, &end).await.unwrap(),
        Fence::Held
    );
    let before = room.snapshot_but_events().await;
    assert_eq!(
        room.broker.settle(&held, &job, &end).await.unwrap(),
        Fence::Lost
    );
    assert_eq!(room.snapshot_but_events().await, before);
    // The record has the attempt already; a second account that knows less changes nothing there.
    assert_eq!(
        room.events().await,
        [("ended".to_owned(), false), ("ended".to_owned(), true)]
    );
}

#[tokio::test]
async fn an_end_before_any_attempt_that_is_asked_for_twice_happens_once() {
    let room = Room::new().await;
    let (held, job) = room.job("a").await;
    let end = Ending {
        attempt: None,
        ..ending(AttemptId::new())
    };
    assert_eq!(
        room.broker.settle(&held, &job, &end).await.unwrap(),
        Fence::Held
    );
    let before = room.snapshot().await;
    assert_eq!(
        room.broker.settle(&held, &job, &end).await.unwrap(),
        Fence::Lost
    );
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn a_worker_that_lost_the_entry_before_an_attempt_ends_nothing() {
    let room = Room::new().await;
    let (held, job) = room.job("a").await;
    room.steal(&held, "b").await;
    let before = room.snapshot().await;
    let end = Ending {
        attempt: None,
        ..ending(AttemptId::new())
    };
    assert_eq!(
        room.broker.settle(&held, &job, &end).await.unwrap(),
        Fence::Lost
    );
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn an_attempt_that_is_not_the_begun_one_ends_nothing_but_is_recorded() {
    let room = Room::new().await;
    let (held, job, _) = room.running("a").await;
    let before = room.snapshot_but_events().await;
    let end = Ending {
        reply: true,
        remembered: true,
        letter: Some((&job, "letter")),
        ..ending(AttemptId::new())
    };
    assert_eq!(
        room.broker.settle(&held, &job, &end).await.unwrap(),
        Fence::Lost
    );
    assert_eq!(room.snapshot_but_events().await, before);
    assert_eq!(room.events().await, [("ended".to_owned(), true)]);
}

#[tokio::test]
async fn a_job_that_two_workers_ran_ends_once() {
    let room = Room::new().await;
    let (stopped, job, first) = room.running("a").await;
    let _recovered = room.broker.recover(&room.queue).await.unwrap();
    let held = room.read_one("b").await.held;
    let second = AttemptId::new();

    // Between the other's delivery and its attempt, and during the attempt, a revived worker changes nothing.
    let late = Ending {
        result: "late",
        ..ending(first)
    };
    assert_eq!(
        room.broker.settle(&stopped, &job, &late).await.unwrap(),
        Fence::Lost
    );
    assert_eq!(room.begin(&held, &job, second, None).await, BEGUN);
    assert_eq!(
        room.broker.settle(&stopped, &job, &late).await.unwrap(),
        Fence::Lost
    );
    let kept = Ending {
        remembered: true,
        ..ending(second)
    };
    assert_eq!(
        room.broker.settle(&held, &job, &kept).await.unwrap(),
        Fence::Held
    );
    assert_eq!(
        room.broker.settle(&stopped, &job, &late).await.unwrap(),
        Fence::Lost
    );

    let result: String = room
        .ask(&["GET", &room.key(&format!("result:{job}"))])
        .await;
    assert_eq!(result, "outcome");
    let duplicates = room
        .events()
        .await
        .iter()
        .filter(|(_, duplicate)| *duplicate)
        .count();
    assert_eq!(duplicates, 3);
    room.assert_nothing_is_left().await;
}

/// A worker whose heartbeat was late may get its own job back and run it beside the old run.
#[tokio::test]
async fn a_job_that_one_worker_ran_twice_ends_once() {
    let room = Room::new().await;
    let (old, job) = room.job("a").await;
    let _recovered = room.broker.recover(&room.queue).await.unwrap();
    let (new, attempt) = (room.read_one("a").await.held, AttemptId::new());
    assert_eq!(room.begin(&new, &job, attempt, None).await, BEGUN);
    let expired = Ending {
        attempt: None,
        result: "expired",
        ..ending(attempt)
    };
    assert_eq!(
        room.broker.settle(&old, &job, &expired).await.unwrap(),
        Fence::Held
    );
    assert_eq!(
        room.broker
            .settle(&new, &job, &ending(attempt))
            .await
            .unwrap(),
        Fence::Lost
    );
    let result: String = room
        .ask(&["GET", &room.key(&format!("result:{job}"))])
        .await;
    assert_eq!(result, "expired");
    room.assert_nothing_is_left().await;
}

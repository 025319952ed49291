//! Producer ids and unique keys.

use std::time::Duration;

use longshore_broker::{Admission, Admitted, Consumed, Delivery, Ending, Fence};
use longshore_protocol::{
    envelope::{ContentHash, MessageLimits, RawMessage, Unique, parse},
    id::JobId,
};

use super::room::{Room, job_id, prompt, stored};

/// The identity of the job `inv-1` with this prompt.
fn hash(text: &str) -> ContentHash {
    let job = format!(r#"{{"id":"inv-1","prompt":"{text}"}}"#);
    let message = RawMessage {
        fields: vec![(b"job".to_vec(), job.into_bytes())],
    };
    parse(&message, &MessageLimits::default())
        .ok()
        .and_then(|parsed| parsed.hash)
        .expect("a hash")
}

async fn held(room: &Room, worker: &str) -> Delivery {
    room.job(worker).await.0
}

fn named<'a>(id: &'a JobId, hash: &'a ContentHash) -> Admission<'a> {
    Admission {
        id: Some((id, hash)),
        unique: None,
        reply: false,
        drop_event: stored("dropped"),
        task: None,
    }
}

fn keyed(unique: &Unique) -> Admission<'_> {
    Admission {
        id: None,
        unique: Some(unique),
        reply: false,
        drop_event: stored("dropped"),
        task: None,
    }
}

fn once(key: &str) -> Unique {
    Unique {
        key: key.to_owned(),
        ttl: Duration::from_mins(1),
    }
}

#[tokio::test]
async fn a_new_message_is_admitted_and_its_id_kept_for_a_day() {
    let room = Room::new().await;
    let (id, hash) = (job_id("inv-1"), hash("a"));
    let held = held(&room, "a").await;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&held, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Yes
    );

    let known: String = room.ask(&["GET", &room.key("id:inv-1")]).await;
    assert_eq!(known, format!("{} {}", hash.as_str(), held.entry_id));
    let seconds: u64 = room.ask(&["TTL", &room.key("id:inv-1")]).await;
    assert!((86_000..=86_400).contains(&seconds), "{seconds}");
    assert_eq!(
        room.broker.jobs().first_entry_id(&id).await.unwrap(),
        Some(held.entry_id)
    );
    assert_eq!(room.events().await, []);
}

#[tokio::test]
async fn a_redelivered_entry_is_admitted_again() {
    let room = Room::new().await;
    let (id, hash, unique) = (job_id("inv-1"), hash("a"), once("k"));
    let held = held(&room, "a").await;
    let admission = Admission {
        unique: Some(&unique),
        ..named(&id, &hash)
    };
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&held, &admission)
            .await
            .unwrap(),
        Admitted::Yes
    );
    let before = room.snapshot().await;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&held, &admission)
            .await
            .unwrap(),
        Admitted::Yes
    );
    assert_eq!(room.snapshot().await, before);

    let _fence = room
        .broker
        .deliveries()
        .hand_back(&held, None, stored(""), stored(""), Consumed::NothingTaken)
        .await
        .unwrap();
    let held = room.read_one("b").await.delivery;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&held, &admission)
            .await
            .unwrap(),
        Admitted::Yes
    );
}

#[tokio::test]
async fn the_same_content_is_dropped_once_with_an_event() {
    let room = Room::new().await;
    let (id, hash) = (job_id("inv-1"), hash("a"));
    let first = held(&room, "a").await;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&first, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Yes
    );

    let second = held(&room, "b").await;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&second, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Duplicate
    );
    assert_eq!(room.events().await, [("dropped".to_owned(), false)]);
    assert_eq!(
        room.pending().await.into_keys().collect::<Vec<_>>(),
        [first.entry.as_str()]
    );
    assert_eq!(room.ask::<u64>(&["XLEN", &room.stream()]).await, 1);

    let before = room.snapshot().await;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&second, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Lost
    );
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn different_content_with_a_known_id_changes_nothing() {
    let room = Room::new().await;
    let (id, one, other) = (job_id("inv-1"), hash("a"), hash("b"));
    let first = held(&room, "a").await;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&first, &named(&id, &one))
            .await
            .unwrap(),
        Admitted::Yes
    );

    let second = held(&room, "b").await;
    let before = room.snapshot().await;
    let conflict = Admitted::Conflict(first.entry_id);
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&second, &named(&id, &other))
            .await
            .unwrap(),
        conflict
    );
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&second, &named(&id, &other))
            .await
            .unwrap(),
        conflict
    );
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn a_repeat_of_an_ended_job_gets_its_outcome() {
    let room = Room::new().await;
    let (id, hash) = (job_id("inv-1"), hash("a"));
    let first = held(&room, "a").await;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&first, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Yes
    );
    let asking = Admission {
        reply: true,
        ..named(&id, &hash)
    };

    let early = held(&room, "a").await;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&early, &asking)
            .await
            .unwrap(),
        Admitted::Duplicate
    );
    assert!(
        !room.names().await.contains("reply:inv-1"),
        "there is no outcome yet"
    );

    let ending = Ending {
        outcome: stored("outcome"),
        reply: true,
        ..Ending::default()
    };
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&first, &id, &ending)
            .await
            .unwrap(),
        Fence::Held
    );
    let silent = held(&room, "a").await;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&silent, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Duplicate
    );
    let heard = async || -> Vec<String> {
        room.ask(&["LRANGE", &room.key("reply:inv-1"), "0", "-1"])
            .await
    };
    assert_eq!(
        heard().await,
        ["outcome"; 2],
        "the first and the early one; the silent one did not ask"
    );

    let late = held(&room, "a").await;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&late, &asking)
            .await
            .unwrap(),
        Admitted::Duplicate
    );
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&late, &asking)
            .await
            .unwrap(),
        Admitted::Lost
    );
    assert_eq!(heard().await, ["outcome"; 3]);
    let seconds: u64 = room.ask(&["TTL", &room.key("reply:inv-1")]).await;
    assert!((3500..=3600).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_unique_key_belongs_to_the_first_job() {
    let room = Room::new().await;
    let unique = once("weekly report");
    let first = held(&room, "a").await;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&first, &keyed(&unique))
            .await
            .unwrap(),
        Admitted::Yes
    );
    let seconds: u64 = room.ask(&["TTL", &room.key("unique:weekly report")]).await;
    assert!((50..=60).contains(&seconds), "{seconds}");

    let second = held(&room, "b").await;
    let before = room.snapshot().await;
    let taken = Admitted::Taken(first.entry_id.clone());
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&second, &keyed(&unique))
            .await
            .unwrap(),
        taken
    );
    assert_eq!(room.snapshot().await, before);

    // The key outlives the job until it expires.
    let _fence = room
        .broker
        .deliveries()
        .settle(
            &first,
            &JobId::from_entry(&first.entry_id),
            &Ending::default(),
        )
        .await
        .unwrap();
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&second, &keyed(&unique))
            .await
            .unwrap(),
        taken
    );
    let () = room.ask(&["DEL", &room.key("unique:weekly report")]).await;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&second, &keyed(&unique))
            .await
            .unwrap(),
        Admitted::Yes
    );
}

#[tokio::test]
async fn entry_ids_of_two_queues_are_distinct() {
    let room = Room::new().await.through("bulk");
    let (id, hash) = (job_id("inv-1"), hash("a"));
    room.enqueue(&prompt("x")).await;
    let first = room.read_one("a").await.delivery;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&first, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Yes
    );

    // The same stream id in the other queue is another entry id.
    let room = room.through("default");
    let () = room
        .ask(&["XADD", &room.stream(), &first.entry, "prompt", "x"])
        .await;
    let second = room.read_one("a").await.delivery;
    assert_eq!(second.entry, first.entry);
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&second, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Duplicate
    );
    assert_eq!(room.ask::<u64>(&["XLEN", &room.key("queue:bulk")]).await, 1);
}

#[tokio::test]
async fn a_worker_that_lost_the_entry_cannot_admit_it() {
    let room = Room::new().await;
    let (id, hash) = (job_id("inv-1"), hash("a"));
    let held = held(&room, "a").await;
    room.steal(&held, "b").await;
    let before = room.snapshot().await;
    assert_eq!(
        room.broker
            .deliveries()
            .admit(&held, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Lost
    );
    assert_eq!(room.snapshot().await, before);
}

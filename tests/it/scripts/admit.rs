//! Producer ids and unique keys.

use std::time::Duration;

use longshore_broker::{Admission, Admitted, Consumed, Delivery, Ending, Fence};
use longshore_protocol::{
    envelope::{ContentHash, MessageLimits, RawMessage, Unique, parse},
    id::{JobId, ReaderName},
    reply::ReplyTo,
};

use super::fixture::{Fixture, job_id, letter, prompt, stored, written};

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

/// The outcome that a completed job's duplicates get once its own has expired.
const EXPIRED: &str = r#"{"id":"inv-1","state":"completed","success":true,"output":null}"#;

/// The outcome of the job itself.
const OUTCOME: &str = r#"{"id":"inv-1","state":"completed","success":true,"output":"paid"}"#;

async fn held(fixture: &Fixture, worker: &str) -> Delivery {
    fixture.job(worker).await.0
}

fn named<'a>(id: &'a JobId, hash: &'a ContentHash) -> Admission<'a> {
    Admission {
        id: Some((id, hash)),
        unique: None,
        reply: None,
        expired: None,
        drop_event: stored("dropped"),
        task: None,
    }
}

fn keyed(unique: &Unique) -> Admission<'_> {
    Admission {
        id: None,
        unique: Some(unique),
        reply: None,
        expired: None,
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
    let fixture = Fixture::new().await;
    let (id, hash) = (job_id("inv-1"), hash("a"));
    let held = held(&fixture, "a").await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&held, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Yes
    );

    let known: String = fixture.ask(&["GET", &fixture.key("id:inv-1")]).await;
    assert_eq!(known, format!("{} {}", hash.as_str(), held.entry_id));
    let seconds: u64 = fixture.ask(&["TTL", &fixture.key("id:inv-1")]).await;
    assert!((86_000..=86_400).contains(&seconds), "{seconds}");
    assert_eq!(
        fixture.broker.jobs().first_entry_id(&id).await.unwrap(),
        Some(held.entry_id)
    );
    assert_eq!(fixture.events().await, []);
}

#[tokio::test]
async fn a_redelivered_entry_is_admitted_again() {
    let fixture = Fixture::new().await;
    let (id, hash, unique) = (job_id("inv-1"), hash("a"), once("k"));
    let held = held(&fixture, "a").await;
    let admission = Admission {
        unique: Some(&unique),
        ..named(&id, &hash)
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&held, &admission)
            .await
            .unwrap(),
        Admitted::Yes
    );
    let before = fixture.snapshot().await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&held, &admission)
            .await
            .unwrap(),
        Admitted::Yes
    );
    assert_eq!(fixture.snapshot().await, before);

    let _fence = fixture
        .broker
        .deliveries()
        .hand_back(&held, None, stored(""), stored(""), Consumed::NothingTaken)
        .await
        .unwrap();
    let held = fixture.read_one("b").await.delivery;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&held, &admission)
            .await
            .unwrap(),
        Admitted::Yes
    );
}

#[tokio::test]
async fn the_same_content_is_dropped_once_with_an_event() {
    let fixture = Fixture::new().await;
    let (id, hash) = (job_id("inv-1"), hash("a"));
    let first = held(&fixture, "a").await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&first, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Yes
    );

    let second = held(&fixture, "b").await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&second, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Duplicate
    );
    assert_eq!(fixture.events().await, [("dropped".to_owned(), false)]);
    assert_eq!(
        fixture.pending().await.into_keys().collect::<Vec<_>>(),
        [first.entry.as_str()]
    );
    assert_eq!(fixture.ask::<u64>(&["XLEN", &fixture.stream()]).await, 1);

    let before = fixture.snapshot().await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&second, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Lost
    );
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn different_content_with_a_known_id_changes_nothing() {
    let fixture = Fixture::new().await;
    let (id, one, other) = (job_id("inv-1"), hash("a"), hash("b"));
    let first = held(&fixture, "a").await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&first, &named(&id, &one))
            .await
            .unwrap(),
        Admitted::Yes
    );

    let second = held(&fixture, "b").await;
    let before = fixture.snapshot().await;
    let conflict = Admitted::Conflict(first.entry_id);
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&second, &named(&id, &other))
            .await
            .unwrap(),
        conflict
    );
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&second, &named(&id, &other))
            .await
            .unwrap(),
        conflict
    );
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn a_repeat_of_an_ended_job_gets_its_outcome() {
    let fixture = Fixture::new().await;
    let (id, hash) = (job_id("inv-1"), hash("a"));
    let first = held(&fixture, "a").await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&first, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Yes
    );
    let asking = Admission {
        reply: Some(&ReplyTo::Anyone),
        expired: stored(EXPIRED),
        ..named(&id, &hash)
    };

    let early = held(&fixture, "a").await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&early, &asking)
            .await
            .unwrap(),
        Admitted::Duplicate
    );
    assert!(
        !fixture.names().await.contains("reply:inv-1"),
        "there is no outcome yet"
    );

    let ending = Ending {
        outcome: stored(OUTCOME),
        owns_id: true,
        reply: Some(&ReplyTo::Anyone),
        ..Ending::default()
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&first, &id, &ending)
            .await
            .unwrap(),
        Fence::Held
    );
    let silent = held(&fixture, "a").await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&silent, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Duplicate
    );
    let heard = async || -> Vec<String> {
        fixture
            .ask(&["LRANGE", &fixture.key("reply:inv-1"), "0", "-1"])
            .await
    };
    assert_eq!(
        heard().await,
        [OUTCOME; 2],
        "the first and the early one; the silent one did not ask"
    );

    let late = held(&fixture, "a").await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&late, &asking)
            .await
            .unwrap(),
        Admitted::Duplicate
    );
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&late, &asking)
            .await
            .unwrap(),
        Admitted::Lost
    );
    assert_eq!(heard().await, [OUTCOME; 3]);
    let seconds: u64 = fixture.ask(&["TTL", &fixture.key("reply:inv-1")]).await;
    assert!((3500..=3600).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_unique_key_belongs_to_the_first_job() {
    let fixture = Fixture::new().await;
    let unique = once("weekly report");
    let first = held(&fixture, "a").await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&first, &keyed(&unique))
            .await
            .unwrap(),
        Admitted::Yes
    );
    let seconds: u64 = fixture
        .ask(&["TTL", &fixture.key("unique:weekly report")])
        .await;
    assert!((50..=60).contains(&seconds), "{seconds}");

    let second = held(&fixture, "b").await;
    let before = fixture.snapshot().await;
    let taken = Admitted::Taken(first.entry_id.clone());
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&second, &keyed(&unique))
            .await
            .unwrap(),
        taken
    );
    assert_eq!(fixture.snapshot().await, before);

    // The key outlives the job until it expires.
    let _fence = fixture
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
        fixture
            .broker
            .deliveries()
            .admit(&second, &keyed(&unique))
            .await
            .unwrap(),
        taken
    );
    let () = fixture
        .ask(&["DEL", &fixture.key("unique:weekly report")])
        .await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&second, &keyed(&unique))
            .await
            .unwrap(),
        Admitted::Yes
    );
}

#[tokio::test]
async fn entry_ids_of_two_queues_are_distinct() {
    let fixture = Fixture::new().await.through("bulk");
    let (id, hash) = (job_id("inv-1"), hash("a"));
    fixture.enqueue(&prompt("x")).await;
    let first = fixture.read_one("a").await.delivery;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&first, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Yes
    );

    // The same stream id in the other queue is another entry id.
    let fixture = fixture.through("default");
    let () = fixture
        .ask(&["XADD", &fixture.stream(), &first.entry, "prompt", "x"])
        .await;
    let second = fixture.read_one("a").await.delivery;
    assert_eq!(second.entry, first.entry);
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&second, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Duplicate
    );
    assert_eq!(
        fixture
            .ask::<u64>(&["XLEN", &fixture.key("queue:bulk")])
            .await,
        1
    );
}

#[tokio::test]
async fn a_worker_that_lost_the_entry_cannot_admit_it() {
    let fixture = Fixture::new().await;
    let (id, hash) = (job_id("inv-1"), hash("a"));
    let held = held(&fixture, "a").await;
    fixture.steal(&held, "b").await;
    let before = fixture.snapshot().await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&held, &named(&id, &hash))
            .await
            .unwrap(),
        Admitted::Lost
    );
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn a_repeat_of_a_job_whose_outcome_has_expired_learns_how_it_ended() {
    for state in ["completed", "cancelled", "discarded"] {
        let fixture = Fixture::new().await;
        let (id, hash) = (job_id("inv-1"), hash("a"));
        let first = held(&fixture, "a").await;
        let deliveries = fixture.broker.deliveries();
        let asking = Admission {
            reply: Some(&ReplyTo::Anyone),
            expired: stored(EXPIRED),
            ..named(&id, &hash)
        };
        assert_eq!(
            deliveries.admit(&first, &asking).await.unwrap(),
            Admitted::Yes
        );
        let outcome = format!(r#"{{"id":"inv-1","state":"{state}","success":false}}"#);
        let ending = Ending {
            outcome: Some(written(&outcome)),
            owns_id: true,
            has_stored_state: true,
            ..Ending::default()
        };
        assert_eq!(
            deliveries.settle(&first, &id, &ending).await.unwrap(),
            Fence::Held
        );
        let () = fixture.ask(&["DEL", &fixture.key("result:inv-1")]).await;

        let late = held(&fixture, "a").await;
        assert_eq!(
            deliveries.admit(&late, &asking).await.unwrap(),
            Admitted::Duplicate
        );
        let expected = format!(
            r#"{{"id":"inv-1","state":"{state}","success":{},"output":null}}"#,
            state == "completed"
        );
        let replies: Vec<String> = fixture
            .ask(&["LRANGE", &fixture.key("reply:inv-1"), "0", "-1"])
            .await;
        assert_eq!(replies, [expected]);
        assert!(!fixture.names().await.contains("replies:waiting"));
        let first_entry = fixture.broker.jobs().first_entry_id(&id).await.unwrap();
        assert_eq!(first_entry, Some(first.entry_id));
        let seconds: u64 = fixture.ask(&["TTL", &fixture.key("id:inv-1")]).await;
        assert!((86_000..=86_400).contains(&seconds), "{seconds}");
    }
}

#[tokio::test]
async fn a_repeat_of_a_replayed_job_waits_for_its_new_end() {
    let fixture = Fixture::new().await;
    let (id, hash) = (job_id("inv-1"), hash("a"));
    let first = held(&fixture, "a").await;
    let deliveries = fixture.broker.deliveries();
    let asking = Admission {
        reply: Some(&ReplyTo::Anyone),
        expired: stored(EXPIRED),
        ..named(&id, &hash)
    };
    assert_eq!(
        deliveries.admit(&first, &asking).await.unwrap(),
        Admitted::Yes
    );
    let dead = letter(&fixture.queue, &id, &first.entry_id, &prompt("a"));
    let text = serde_json::to_string(&dead).unwrap();
    let ending = Ending {
        outcome: stored(r#"{"id":"inv-1","state":"discarded","success":false}"#),
        dead_letter: Some((&id, written(&text))),
        owns_id: true,
        has_stored_state: true,
        ..Ending::default()
    };
    assert_eq!(
        deliveries.settle(&first, &id, &ending).await.unwrap(),
        Fence::Held
    );
    let found = fixture.broker.dead_letters().newest(id.as_str()).await;
    let (died, dead, _) = found.unwrap().expect("a dead letter");
    let message = prompt("a");
    let replayed = fixture.replay(died, &dead, &message, &dead.checkpoint, "");
    assert!(replayed.await.unwrap());

    let _runs_again = fixture.read_one("b").await;
    let late = held(&fixture, "b").await;
    assert_eq!(
        deliveries.admit(&late, &asking).await.unwrap(),
        Admitted::Duplicate
    );
    assert!(!fixture.names().await.contains("reply:inv-1"));
    let waiting = fixture.hash("replies:waiting").await;
    assert_eq!(waiting.get("inv-1").map(String::as_str), Some("1"));
}

#[tokio::test]
async fn no_more_than_a_hundred_readers_wait_for_one_job() {
    let fixture = Fixture::new().await;
    let (id, hash) = (job_id("inv-1"), hash("a"));
    let first = held(&fixture, "a").await;
    let deliveries = fixture.broker.deliveries();
    let admitted = deliveries.admit(&first, &named(&id, &hash)).await;
    assert_eq!(admitted.unwrap(), Admitted::Yes);
    for number in (0..=100).chain([7]) {
        let reader = ReplyTo::Reader(ReaderName::parse(&format!("r{number}")).unwrap());
        let asking = Admission {
            reply: Some(&reader),
            expired: stored(EXPIRED),
            ..named(&id, &hash)
        };
        let repeated = held(&fixture, "a").await;
        assert_eq!(
            deliveries.admit(&repeated, &asking).await.unwrap(),
            Admitted::Duplicate
        );
    }
    let ending = Ending {
        outcome: stored(OUTCOME),
        owns_id: true,
        reply: Some(&ReplyTo::Anyone),
        ..Ending::default()
    };
    let fence = deliveries.settle(&first, &id, &ending).await.unwrap();
    assert_eq!(fence, Fence::Held);
    for (list, replies) in [
        ("reply:inv-1", 1),
        ("reply-to:r0:inv-1", 1),
        ("reply-to:r7:inv-1", 2),
        ("reply-to:r99:inv-1", 1),
        ("reply-to:r100:inv-1", 0),
    ] {
        let length: u64 = fixture.ask(&["LLEN", &fixture.key(list)]).await;
        assert_eq!(length, replies, "{list}");
    }
    assert!(!fixture.names().await.contains("replies:waiting"));
}

/// Admits a repetition of `inv-1` that names bob as the reader of its reply.
async fn repeat_for_bob(fixture: &Fixture) {
    let (id, hash) = (job_id("inv-1"), hash("a"));
    let bob = ReplyTo::Reader(ReaderName::parse("bob").unwrap());
    let asking = Admission {
        reply: Some(&bob),
        expired: stored(EXPIRED),
        ..named(&id, &hash)
    };
    let repeated = held(fixture, "a").await;
    let admitted = fixture.broker.deliveries().admit(&repeated, &asking).await;
    assert_eq!(admitted.unwrap(), Admitted::Duplicate);
}

async fn replies_to_bob(fixture: &Fixture) -> Vec<String> {
    let list = fixture.key("reply-to:bob:inv-1");
    fixture.ask(&["LRANGE", &list, "0", "-1"]).await
}

#[tokio::test]
async fn a_repeat_gets_no_outcome_but_of_its_own_job() {
    let fixture = Fixture::new().await;
    let (id, hash) = (job_id("inv-1"), hash("a"));
    let deliveries = fixture.broker.deliveries();
    let first = held(&fixture, "a").await;
    let admitted = deliveries.admit(&first, &named(&id, &hash)).await;
    assert_eq!(admitted.unwrap(), Admitted::Yes);

    // A step with the same id, whose message chose none, has an outcome and a reader.
    let (step, _) = fixture.job("a").await;
    let alice = ReplyTo::Reader(ReaderName::parse("alice").unwrap());
    repeat_for_bob(&fixture).await;
    let foreign = Ending {
        outcome: stored(r#"{"id":"inv-1","state":"failed","success":false,"output":"alice's"}"#),
        reply: Some(&alice),
        has_stored_state: true,
        ..Ending::default()
    };
    let fence = deliveries.settle(&step, &id, &foreign).await.unwrap();
    assert_eq!(fence, Fence::Held);
    repeat_for_bob(&fixture).await;
    assert!(replies_to_bob(&fixture).await.is_empty());

    let own = Ending {
        outcome: stored(OUTCOME),
        reply: Some(&ReplyTo::Anyone),
        owns_id: true,
        ..Ending::default()
    };
    assert_eq!(
        deliveries.settle(&first, &id, &own).await.unwrap(),
        Fence::Held
    );
    assert_eq!(replies_to_bob(&fixture).await, [OUTCOME; 2]);
    repeat_for_bob(&fixture).await;
    assert_eq!(replies_to_bob(&fixture).await, [OUTCOME; 3]);

    let result = fixture.key("result:inv-1");
    let () = fixture
        .ask(&["SET", &result, "of a chain with this id"])
        .await;
    repeat_for_bob(&fixture).await;
    assert_eq!(replies_to_bob(&fixture).await.last().unwrap(), EXPIRED);
}

//! Replaying, editing and removing dead letters.

use longshore_broker::{Ending, Fence};
use longshore_protocol::{
    checkpoint::Checkpoint,
    dead_letter::{DeadLetter, StoredMessage},
    id::{AttemptId, EntryId, JobId},
};

use super::fixture::{BEGUN, Fixture, binary, job_id, letter, stored, written};

/// A dead letter with its time and its JSON.
async fn buried(fixture: &Fixture) -> (i64, DeadLetter, String) {
    let entry_id = fixture.enqueue(&binary()).await;
    let held = fixture.read_one("a").await.delivery;
    let id = JobId::from_entry(&entry_id);
    let letter = letter(&fixture.queue, &id, &entry_id, &binary());
    let text = serde_json::to_string(&letter).unwrap();
    let end = Ending {
        outcome: stored("discarded"),
        dead_letter: Some((&id, written(&text))),
        ..Ending::default()
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &id, &end)
            .await
            .unwrap(),
        Fence::Held
    );
    fixture
        .broker
        .dead_letters()
        .newest(id.as_str())
        .await
        .unwrap()
        .expect("a letter")
}

async fn replay(fixture: &Fixture, died: i64, letter: &DeadLetter) -> bool {
    let fields = letter.message.fields().expect("all of it was kept");
    let checkpoint = letter.checkpoint.clone().replayed();
    fixture
        .replay(died, letter, &fields, &checkpoint, "replayed")
        .await
        .unwrap()
}

#[tokio::test]
async fn a_replayed_dead_letter_is_enqueued_byte_for_byte() {
    for queue in ["default", "bulk"] {
        let fixture = Fixture::new().await.through(queue);
        let (died, letter, _) = buried(&fixture).await;
        // A cancellation after its outcome expired no longer counts.
        let () = fixture
            .ask(&[
                "ZADD",
                &fixture.key("cancelled"),
                "1",
                letter.record.id.as_str(),
            ])
            .await;
        assert!(replay(&fixture, died, &letter).await);

        assert_eq!(fixture.broker.dead_letters().count().await.unwrap(), 0);
        assert!(fixture.hash("dead:jobs").await.is_empty());
        assert_eq!(
            fixture
                .broker
                .jobs()
                .outcomes(std::slice::from_ref(&letter.record.id))
                .await
                .unwrap(),
            [None]
        );
        assert_eq!(fixture.events().await, [("replayed".to_owned(), false)]);
        let delivered = fixture.read_one("b").await;
        assert_eq!(delivered.message.fields, binary());
        assert!(!delivered.forged);
        let checkpoint: Checkpoint = delivered.checkpoint.expect("a checkpoint").parse().unwrap();
        assert_eq!(checkpoint, letter.checkpoint.clone().replayed());

        let (job, attempt) = (letter.record.id, AttemptId::new());
        assert_eq!(
            fixture
                .begin(&delivered.delivery, &job, attempt, None)
                .await,
            BEGUN
        );
        let end = Ending {
            attempt: Some(attempt),
            has_stored_state: true,
            ..Ending::default()
        };
        assert_eq!(
            fixture
                .broker
                .deliveries()
                .settle(&delivered.delivery, &job, &end)
                .await
                .unwrap(),
            Fence::Held
        );
        fixture.assert_nothing_is_left().await;
    }
}

#[tokio::test]
async fn replaying_twice_equals_once() {
    let fixture = Fixture::new().await;
    let (died, letter, _) = buried(&fixture).await;
    assert!(replay(&fixture, died, &letter).await);
    let before = fixture.snapshot().await;
    assert!(!replay(&fixture, died, &letter).await);
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn a_dead_letter_of_another_time_is_a_different_one() {
    let fixture = Fixture::new().await;
    let (died, letter, _) = buried(&fixture).await;
    let before = fixture.snapshot().await;
    for other in [died - 1, died + 1, 0] {
        assert!(!replay(&fixture, other, &letter).await);
        let removed = fixture
            .broker
            .dead_letters()
            .remove(&[(other, letter.clone(), String::new())])
            .await
            .unwrap();
        assert_eq!(removed, 0);
    }
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn named_dead_letters_are_removed_and_counted() {
    let fixture = Fixture::new().await;
    let mut letters = Vec::new();
    for _ in 0..4 {
        letters.push(buried(&fixture).await);
    }
    let (died, kept, text) = letters.pop().expect("four");
    let mut unknown = kept.clone();
    unknown.record.entry_id = EntryId::from_stored("1-0");
    letters.push((died + 1, kept.clone(), text));
    letters.push((died, unknown, String::new()));
    let dead_letters = fixture.broker.dead_letters();
    for removed in [3, 0] {
        assert_eq!(dead_letters.remove(&letters).await.unwrap(), removed);
    }
    assert_eq!(dead_letters.remove(&[]).await.unwrap(), 0);
    assert_eq!(dead_letters.count().await.unwrap(), 1);
    assert_eq!(
        fixture
            .hash("dead:jobs")
            .await
            .into_keys()
            .collect::<Vec<_>>(),
        [kept.record.entry_id.as_str()]
    );
}

#[tokio::test]
async fn a_dead_letter_is_replaced_only_if_unchanged() {
    let fixture = Fixture::new().await;
    let (died, mut letter, read) = buried(&fixture).await;
    let entry_id = letter.record.entry_id.clone();
    letter.message = StoredMessage::Text(vec![("prompt".to_owned(), "mended".to_owned())]);
    let mended = serde_json::to_string(&letter).unwrap();
    assert!(
        fixture
            .broker
            .dead_letters()
            .replace(&entry_id, &read, &mended)
            .await
            .unwrap()
    );
    let now = fixture
        .broker
        .dead_letters()
        .newest(entry_id.as_str())
        .await
        .unwrap()
        .expect("a letter");
    assert_eq!(now, (died + 1, letter.clone(), mended.clone()));

    // A command that read it before finds another dead letter, so the change is not lost.
    assert!(!replay(&fixture, died, &letter).await);
    let removed = fixture
        .broker
        .dead_letters()
        .remove(&[(died, letter, mended.clone())])
        .await;
    assert_eq!(removed.unwrap(), 0);

    // Another command read the old one, or the call is repeated.
    let before = fixture.snapshot().await;
    let unknown = EntryId::from_stored("1-0");
    for (entry_id, read, mended) in [
        (&entry_id, read.as_str(), "{}"),
        (&entry_id, read.as_str(), mended.as_str()),
        (&unknown, "", "{}"),
    ] {
        let replaced = fixture.broker.dead_letters();
        let replaced = replaced.replace(entry_id, read, mended).await.unwrap();
        assert!(!replaced);
    }
    assert_eq!(fixture.snapshot().await, before);
}

#[tokio::test]
async fn an_earlier_dead_letter_of_the_same_id_stays() {
    let fixture = Fixture::new().await;
    let nightly = job_id("nightly");
    let mut entry_ids = Vec::new();
    for _ in 0..2 {
        let entry_id = fixture.enqueue(&binary()).await;
        let held = fixture.read_one("a").await.delivery;
        let letter = letter(&fixture.queue, &nightly, &entry_id, &binary());
        let text = serde_json::to_string(&letter).unwrap();
        let end = Ending {
            outcome: stored("discarded"),
            dead_letter: Some((&nightly, written(&text))),
            ..Ending::default()
        };
        let fence = fixture
            .broker
            .deliveries()
            .settle(&held, &nightly, &end)
            .await
            .unwrap();
        assert_eq!(fence, Fence::Held);
        entry_ids.push(entry_id);
    }
    let dead_letters = fixture.broker.dead_letters();
    let found = dead_letters.find("nightly").await.unwrap();
    assert_eq!(found.len(), 2);
    for entry_id in &entry_ids {
        let found = dead_letters.find(entry_id.as_str()).await.unwrap();
        assert_eq!(found[0].1.record.entry_id, *entry_id);
    }
    let (died, letter, _) = &dead_letters.find(entry_ids[0].as_str()).await.unwrap()[0];
    assert!(replay(&fixture, *died, letter).await);
    let left = dead_letters.find("nightly").await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].1.record.entry_id, entry_ids[1]);
    assert_eq!(dead_letters.remove(&left).await.unwrap(), 1);
    assert_eq!(dead_letters.count().await.unwrap(), 0);
    assert!(!fixture.names().await.contains("dead:ids"));
}

#[tokio::test]
async fn dead_letters_of_earlier_versions_are_stored_by_entry_id() {
    let fixture = Fixture::new().await;
    buried(&fixture).await;
    let mut entry_ids = Vec::new();
    for (id, entry) in [("nightly", "5-0"), ("6-0", "6-0")] {
        let entry_id = EntryId::from_stored(entry);
        let letter = letter(&fixture.queue, &job_id(id), &entry_id, &binary());
        let text = serde_json::to_string(&letter).unwrap();
        let () = fixture
            .ask(&["HSET", &fixture.key("dead:jobs"), id, &text])
            .await;
        let () = fixture.ask(&["ZADD", &fixture.key("dead"), "7", id]).await;
        entry_ids.push(entry_id);
    }
    let dead_letters = fixture.broker.dead_letters();
    assert_eq!(dead_letters.rekey().await.unwrap(), 2);
    assert_eq!(dead_letters.rekey().await.unwrap(), 0);
    assert_eq!(dead_letters.count().await.unwrap(), 3);
    for (id, entry_id) in ["nightly", "6-0"].iter().zip(&entry_ids) {
        let found = dead_letters.find(id).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0, &found[0].1.record.entry_id), (7, entry_id));
        assert!(replay(&fixture, 7, &found[0].1).await);
    }
    assert_eq!(dead_letters.count().await.unwrap(), 1);
}

//! Replaying, editing and removing dead letters.

use longshore_broker::{Ending, Fence};
use longshore_protocol::{
    checkpoint::Checkpoint,
    dead_letter::{DeadLetter, StoredMessage},
    id::{AttemptId, JobId},
};

use super::room::{BEGUN, Room, binary, job_id, letter, stored, written};

/// A dead letter with its time and its JSON.
async fn buried(room: &Room) -> (i64, DeadLetter, String) {
    let place = room.enqueue(&binary()).await;
    let held = room.read_one("a").await.delivery;
    let id = JobId::from_entry(&place);
    let letter = letter(&room.queue, &id, &place, &binary());
    let text = serde_json::to_string(&letter).unwrap();
    let end = Ending {
        outcome: stored("discarded"),
        dead_letter: Some((&id, written(&text))),
        ..Ending::default()
    };
    assert_eq!(
        room.broker
            .deliveries()
            .settle(&held, &id, &end)
            .await
            .unwrap(),
        Fence::Held
    );
    room.broker
        .dead_letters()
        .get(id.as_str())
        .await
        .unwrap()
        .expect("a letter")
}

async fn replay(room: &Room, died: i64, letter: &DeadLetter) -> bool {
    let fields = letter.message.fields().expect("all of it was kept");
    let checkpoint = letter.checkpoint.clone().replayed();
    room.replay(died, letter, &fields, &checkpoint, "replayed")
        .await
        .unwrap()
}

#[tokio::test]
async fn a_replayed_dead_letter_is_enqueued_byte_for_byte() {
    for queue in ["default", "bulk"] {
        let room = Room::new().await.through(queue);
        let (died, letter, _) = buried(&room).await;
        // A cancellation after its outcome expired no longer counts.
        let () = room
            .ask(&[
                "ZADD",
                &room.key("cancelled"),
                "1",
                letter.record.id.as_str(),
            ])
            .await;
        assert!(replay(&room, died, &letter).await);

        assert_eq!(room.broker.dead_letters().count().await.unwrap(), 0);
        assert!(room.hash("dead:jobs").await.is_empty());
        assert_eq!(
            room.broker
                .jobs()
                .outcomes(std::slice::from_ref(&letter.record.id))
                .await
                .unwrap(),
            [None]
        );
        assert_eq!(room.events().await, [("replayed".to_owned(), false)]);
        let delivered = room.read_one("b").await;
        assert_eq!(delivered.message.fields, binary());
        assert!(!delivered.forged);
        let checkpoint: Checkpoint = delivered.checkpoint.expect("a checkpoint").parse().unwrap();
        assert_eq!(checkpoint, letter.checkpoint.clone().replayed());

        let (job, attempt) = (letter.record.id, AttemptId::new());
        assert_eq!(
            room.begin(&delivered.delivery, &job, attempt, None).await,
            BEGUN
        );
        let end = Ending {
            attempt: Some(attempt),
            has_stored_state: true,
            ..Ending::default()
        };
        assert_eq!(
            room.broker
                .deliveries()
                .settle(&delivered.delivery, &job, &end)
                .await
                .unwrap(),
            Fence::Held
        );
        room.assert_nothing_is_left().await;
    }
}

#[tokio::test]
async fn replaying_twice_equals_once() {
    let room = Room::new().await;
    let (died, letter, _) = buried(&room).await;
    assert!(replay(&room, died, &letter).await);
    let before = room.snapshot().await;
    assert!(!replay(&room, died, &letter).await);
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn a_dead_letter_of_another_time_is_a_different_one() {
    let room = Room::new().await;
    let (died, letter, _) = buried(&room).await;
    let before = room.snapshot().await;
    for other in [died - 1, died + 1, 0] {
        assert!(!replay(&room, other, &letter).await);
        let removed = room
            .broker
            .dead_letters()
            .remove(&[(letter.record.id.clone(), other)])
            .await
            .unwrap();
        assert_eq!(removed, 0);
    }
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn named_dead_letters_are_removed_and_counted() {
    let room = Room::new().await;
    let mut letters = Vec::new();
    for _ in 0..4 {
        let (died, letter, _) = buried(&room).await;
        letters.push((letter.record.id, died));
    }
    let kept = letters.pop().expect("four");
    letters.push((kept.0.clone(), kept.1 + 1));
    letters.push((job_id("nobody"), 1));
    assert_eq!(
        room.broker.dead_letters().remove(&letters).await.unwrap(),
        3
    );
    assert_eq!(
        room.broker.dead_letters().remove(&letters).await.unwrap(),
        0
    );
    assert_eq!(room.broker.dead_letters().remove(&[]).await.unwrap(), 0);
    assert_eq!(room.broker.dead_letters().count().await.unwrap(), 1);
    assert_eq!(
        room.hash("dead:jobs").await.into_keys().collect::<Vec<_>>(),
        [kept.0.as_str()]
    );
}

#[tokio::test]
async fn a_dead_letter_is_replaced_only_if_unchanged() {
    let room = Room::new().await;
    let (died, mut letter, read) = buried(&room).await;
    let id = letter.record.id.clone();
    letter.message = StoredMessage::Text(vec![("prompt".to_owned(), "mended".to_owned())]);
    let mended = serde_json::to_string(&letter).unwrap();
    assert!(
        room.broker
            .dead_letters()
            .replace(&id, &read, &mended)
            .await
            .unwrap()
    );
    let now = room
        .broker
        .dead_letters()
        .get(id.as_str())
        .await
        .unwrap()
        .expect("a letter");
    assert_eq!(now, (died + 1, letter.clone(), mended.clone()));

    // A command that read it before finds another dead letter, so the change is not lost.
    assert!(!replay(&room, died, &letter).await);
    let removed = room
        .broker
        .dead_letters()
        .remove(&[(id.clone(), died)])
        .await;
    assert_eq!(removed.unwrap(), 0);

    // Another command read the old one, or the call is repeated.
    let before = room.snapshot().await;
    assert!(
        !room
            .broker
            .dead_letters()
            .replace(&id, &read, "{}")
            .await
            .unwrap()
    );
    assert!(
        !room
            .broker
            .dead_letters()
            .replace(&id, &read, &mended)
            .await
            .unwrap()
    );
    assert!(
        !room
            .broker
            .dead_letters()
            .replace(&job_id("nobody"), "", "{}")
            .await
            .unwrap()
    );
    assert_eq!(room.snapshot().await, before);
}

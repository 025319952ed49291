//! Dead letters: replayed, edited, removed.

use longshore_broker::{Ending, Fence};
use longshore_protocol::{
    checkpoint::Resume,
    dead_letter::{Kept, Letter},
    id::{AttemptId, JobId},
};

use super::room::{BEGUN, Room, binary, job_id, letter};

/// A job that died, as it stands among the dead letters: with the time of its death and its JSON.
async fn buried(room: &Room) -> (i64, Letter, String) {
    let place = room.enqueue(&binary()).await;
    let held = room.read_one("a").await.held;
    let id = JobId::of_place(&place);
    let letter = letter(&room.queue, &id, &place, &binary());
    let text = serde_json::to_string(&letter).unwrap();
    let end = Ending {
        result: "discarded",
        letter: Some((&id, &text)),
        ..Ending::default()
    };
    assert_eq!(
        room.broker.settle(&held, &id, &end).await.unwrap(),
        Fence::Held
    );
    room.broker
        .dead_letter(id.as_str())
        .await
        .unwrap()
        .expect("a letter")
}

async fn replay(room: &Room, died: i64, letter: &Letter) -> bool {
    let fields = letter.message.fields().expect("all of it was kept");
    let resume = letter.resume.clone().replayed();
    room.replay(died, letter, &fields, &resume, "replayed")
        .await
        .unwrap()
}

#[tokio::test]
async fn a_replayed_letter_stands_in_its_queue_byte_for_byte() {
    for queue in ["default", "bulk"] {
        let room = Room::new().await.through(queue);
        let (died, letter, _) = buried(&room).await;
        // After its outcome is forgotten somebody asked to cancel it; that is over now.
        let () = room
            .ask(&[
                "ZADD",
                &room.key("cancelled"),
                "1",
                letter.record.id.as_str(),
            ])
            .await;
        assert!(replay(&room, died, &letter).await);

        assert_eq!(room.broker.dead_count().await.unwrap(), 0);
        assert!(room.hash("dead:jobs").await.is_empty());
        assert_eq!(
            room.broker
                .outcomes(std::slice::from_ref(&letter.record.id))
                .await
                .unwrap(),
            [None]
        );
        assert_eq!(room.events().await, [("replayed".to_owned(), false)]);
        let delivered = room.read_one("b").await;
        assert_eq!(delivered.message.fields, binary());
        assert!(!delivered.forged);
        let resume: Resume = serde_json::from_str(&delivered.resume.expect("a memory")).unwrap();
        assert_eq!(resume, letter.resume.clone().replayed());

        let (job, attempt) = (letter.record.id, AttemptId::new());
        assert_eq!(
            room.begin(&delivered.held, &job, attempt, None).await,
            BEGUN
        );
        let end = Ending {
            attempt: Some(attempt),
            remembered: true,
            ..Ending::default()
        };
        assert_eq!(
            room.broker
                .settle(&delivered.held, &job, &end)
                .await
                .unwrap(),
            Fence::Held
        );
        room.assert_nothing_is_left().await;
    }
}

#[tokio::test]
async fn to_replay_twice_is_to_replay_once() {
    let room = Room::new().await;
    let (died, letter, _) = buried(&room).await;
    assert!(replay(&room, died, &letter).await);
    let before = room.snapshot().await;
    assert!(!replay(&room, died, &letter).await);
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn a_letter_that_died_at_another_time_is_another_letter() {
    let room = Room::new().await;
    let (died, letter, _) = buried(&room).await;
    let before = room.snapshot().await;
    for other in [died - 1, died + 1, 0] {
        assert!(!replay(&room, other, &letter).await);
        let removed = room
            .broker
            .remove_dead(&[(letter.record.id.clone(), other)])
            .await
            .unwrap();
        assert_eq!(removed, 0);
    }
    assert_eq!(room.snapshot().await, before);
}

#[tokio::test]
async fn the_letters_that_were_named_are_removed_and_counted() {
    let room = Room::new().await;
    let mut letters = Vec::new();
    for _ in 0..4 {
        let (died, letter, _) = buried(&room).await;
        letters.push((letter.record.id, died));
    }
    let kept = letters.pop().expect("four");
    letters.push((kept.0.clone(), kept.1 + 1));
    letters.push((job_id("nobody"), 1));
    assert_eq!(room.broker.remove_dead(&letters).await.unwrap(), 3);
    assert_eq!(room.broker.remove_dead(&letters).await.unwrap(), 0);
    assert_eq!(room.broker.remove_dead(&[]).await.unwrap(), 0);
    assert_eq!(room.broker.dead_count().await.unwrap(), 1);
    assert_eq!(
        room.hash("dead:jobs").await.into_keys().collect::<Vec<_>>(),
        [kept.0.as_str()]
    );
}

#[tokio::test]
async fn a_letter_is_replaced_only_as_it_was_read() {
    let room = Room::new().await;
    let (died, mut letter, read) = buried(&room).await;
    let id = letter.record.id.clone();
    letter.message = Kept::Text(vec![("prompt".to_owned(), "mended".to_owned())]);
    let mended = serde_json::to_string(&letter).unwrap();
    assert!(room.broker.edit_dead(&id, &read, &mended).await.unwrap());
    let now = room
        .broker
        .dead_letter(id.as_str())
        .await
        .unwrap()
        .expect("a letter");
    assert_eq!(now, (died + 1, letter.clone(), mended.clone()));

    // Whoever read it before means another letter: the change is not lost.
    assert!(!replay(&room, died, &letter).await);
    let removed = room.broker.remove_dead(&[(id.clone(), died)]).await;
    assert_eq!(removed.unwrap(), 0);

    // Somebody else read the old one, or the same call came twice.
    let before = room.snapshot().await;
    assert!(!room.broker.edit_dead(&id, &read, "{}").await.unwrap());
    assert!(!room.broker.edit_dead(&id, &read, &mended).await.unwrap());
    assert!(
        !room
            .broker
            .edit_dead(&job_id("nobody"), "", "{}")
            .await
            .unwrap()
    );
    assert_eq!(room.snapshot().await, before);
}

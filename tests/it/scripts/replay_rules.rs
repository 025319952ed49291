//! Bulk replays and replay rules.

use longshore_broker::{BulkProgress, BulkReplay};
use longshore_policy::replay::{ReplayRule, ReplayWhen};
use longshore_protocol::dead_letter::{
    DeadLetter, DeadLetterCursor, DeadLetterFilter, PreparedReplay,
};
use longshore_protocol::encryption::Keyring;
use longshore_protocol::id::EntryId;
use longshore_tests::dead_letters;
use redis::AsyncCommands as _;

use super::fixture::{Fixture, job_id, letter, prompt};

/// Writes `count` dead letters and returns them ready to be replayed.
async fn buried(fixture: &Fixture, count: i64) -> Vec<PreparedReplay> {
    let mut ready = Vec::new();
    for died_ms in 0..count {
        let id = job_id(&format!("l-{died_ms}"));
        let entry_id = EntryId::from_stored(&format!("{died_ms}-0"));
        let letter: DeadLetter = letter(&fixture.queue, &id, &entry_id, &prompt("x"));
        let mut pipe = redis::pipe();
        dead_letters::add(&mut pipe, fixture.broker.keys(), &letter, died_ms).unwrap();
        let mut connection = fixture.broker.pooled().await.unwrap();
        let () = pipe.query_async(&mut connection).await.unwrap();
        let standing = (died_ms, letter, String::new());
        let limits = longshore_protocol::envelope::MessageLimits::default();
        ready.extend(PreparedReplay::new(
            &standing,
            &limits,
            &Keyring::default(),
            chrono::DateTime::UNIX_EPOCH,
        ));
    }
    ready
}

fn rule(name: &str, per_minute: u32) -> ReplayRule {
    ReplayRule {
        name: name.to_owned(),
        filter: DeadLetterFilter::default(),
        when: ReplayWhen::Healthy,
        per_minute,
    }
}

#[tokio::test]
async fn a_rule_stays_within_its_replay_limit_across_schedulers() {
    let fixture = Fixture::new().await;
    let letters = buried(&fixture, 10).await;
    let again = rule("again", 7);
    let broker = &fixture.broker;
    assert_eq!(
        broker
            .dead_letters()
            .replay_by_rule(&again, &[])
            .await
            .unwrap(),
        (0, 7)
    );
    let three = broker
        .dead_letters()
        .replay_by_rule(&again, &letters[..3])
        .await
        .unwrap();
    assert_eq!(three, (3, 4));
    // Dead letters that are gone do not count against the rate.
    let gone = broker
        .dead_letters()
        .replay_by_rule(&again, &letters[..4])
        .await
        .unwrap();
    assert_eq!(gone, (1, 3));
    let rest = broker
        .dead_letters()
        .replay_by_rule(&again, &letters)
        .await
        .unwrap();
    assert_eq!(rest, (3, 0));
    assert_eq!(
        broker
            .dead_letters()
            .replay_by_rule(&again, &letters)
            .await
            .unwrap(),
        (0, 0)
    );
    assert_eq!(broker.dead_letters().count().await.unwrap(), 3);
    // Another rule has its own rate; a lower rate applies at once.
    assert_eq!(
        broker
            .dead_letters()
            .replay_by_rule(&rule("other", 5), &[])
            .await
            .unwrap(),
        (0, 5)
    );
    assert_eq!(
        broker
            .dead_letters()
            .replay_by_rule(&rule("again", 2), &letters)
            .await
            .unwrap(),
        (0, 0)
    );

    // A minute later the whole rate is available.
    let key = fixture.key("dead:rule:again");
    let mut connection = broker.pooled().await.unwrap();
    let seconds: Vec<i64> = connection.hkeys(&key).await.unwrap();
    for second in seconds {
        let count: u32 = connection.hget(&key, second).await.unwrap();
        let () = connection.hdel(&key, second).await.unwrap();
        let () = connection.hset(&key, second - 62, count).await.unwrap();
    }
    assert_eq!(
        broker
            .dead_letters()
            .replay_by_rule(&again, &letters)
            .await
            .unwrap(),
        (3, 4)
    );
}

#[tokio::test]
async fn a_bulk_replay_counts_each_page() {
    let fixture = Fixture::new().await;
    let letters = buried(&fixture, 4).await;
    let broker = &fixture.broker;
    let filter = DeadLetterFilter {
        reasons: vec!["timeout".to_owned()],
        ..DeadLetterFilter::default()
    };
    let begun = BulkReplay {
        id: "b1".to_owned(),
        filter,
        span: 3..=9,
        after: None,
        replayed: 0,
        gone: 0,
        skipped: 0,
    };
    broker
        .dead_letters()
        .begin_bulk_replay(&begun)
        .await
        .unwrap();
    assert_eq!(
        broker
            .dead_letters()
            .bulk_replay("b1")
            .await
            .unwrap()
            .as_ref(),
        Some(&begun)
    );
    let last = DeadLetterCursor {
        died_ms: 2,
        entry_id: EntryId::from_stored("2-0"),
    };
    let step = BulkProgress {
        bulk: "b1",
        last: &last,
        skipped: 1,
    };
    let twice = [letters[0].clone(), letters[0].clone()];
    assert_eq!(
        broker.dead_letters().replay(&twice, None).await.unwrap(),
        [true, false]
    );
    for there in [[false, true, true], [false; 3]] {
        assert_eq!(
            broker
                .dead_letters()
                .replay(&letters[..3], Some(step))
                .await
                .unwrap(),
            there
        );
    }
    let now = BulkReplay {
        after: Some(last.clone()),
        replayed: 2,
        gone: 4,
        skipped: 2,
        ..begun
    };
    assert_eq!(
        broker.dead_letters().bulk_replay("b1").await.unwrap(),
        Some(now)
    );
    assert_eq!(
        broker.dead_letters().bulk_replay_ids().await.unwrap(),
        ["b1"]
    );
    broker.dead_letters().end_bulk_replay("b1").await.unwrap();
    // A late page does not restore an ended replay.
    assert_eq!(
        broker
            .dead_letters()
            .replay(&letters[3..], Some(step))
            .await
            .unwrap(),
        [true]
    );
    assert_eq!(broker.dead_letters().bulk_replay("b1").await.unwrap(), None);
    assert!(
        broker
            .dead_letters()
            .bulk_replay_ids()
            .await
            .unwrap()
            .is_empty()
    );
}

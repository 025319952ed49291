//! Scanning dead letters.

use longshore_protocol::{
    dead_letter::{
        DeadLetter, DeadLetterCursor, DeadLetterFilter, DeadLetterOrder, DeadLetterQuery,
        StoredMessage,
    },
    id::{EntryId, QueueName},
};
use longshore_tests::dead_letters;
use redis::AsyncCommands as _;

use super::fixture::{Fixture, binary, job_id, letter, prompt};

/// Writes a dead letter of this time.
async fn bury(fixture: &Fixture, died: i64, letter: &DeadLetter) {
    let mut pipe = redis::pipe();
    dead_letters::add(&mut pipe, fixture.broker.keys(), letter, died).unwrap();
    let mut connection = fixture.broker.pooled().await.unwrap();
    let () = pipe.query_async(&mut connection).await.unwrap();
}

fn plain(fixture: &Fixture, id: &str) -> DeadLetter {
    let entry_id = EntryId::from_stored(id);
    let id = job_id(id);
    letter(&fixture.queue, &id, &entry_id, &prompt("x"))
}

fn query(order: DeadLetterOrder) -> DeadLetterQuery {
    DeadLetterQuery {
        filter: DeadLetterFilter::default(),
        span: 0..=i64::MAX,
        order,
        after: None,
    }
}

/// The ids of all matches, in pages of `most`.
async fn ids(fixture: &Fixture, mut query: DeadLetterQuery, most: usize) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let page = fixture
            .broker
            .dead_letters()
            .record_page(&query, most)
            .await
            .unwrap();
        assert!(page.found.len() <= most);
        ids.extend(
            page.found
                .into_iter()
                .map(|(_, record)| record.id.to_string()),
        );
        query.after = page.next;
        if query.after.is_none() {
            return ids;
        }
    }
}

async fn fitting(fixture: &Fixture, filter: DeadLetterFilter) -> Vec<String> {
    let query = DeadLetterQuery {
        filter,
        ..query(DeadLetterOrder::OldestFirst)
    };
    ids(fixture, query, 100).await
}

#[tokio::test]
async fn a_scan_returns_each_once_in_either_order_and_any_page_size() {
    let fixture = Fixture::new().await;
    // Many of one millisecond, sorted by their bytes.
    let mut buried = Vec::new();
    for (at, id) in ["b", "B", "a-1", "a_1", "a", "Z", "c", "d", "e"]
        .iter()
        .enumerate()
    {
        let died = i64::try_from(at / 6).unwrap();
        bury(&fixture, died, &plain(&fixture, id)).await;
        buried.push((died, (*id).to_owned()));
    }
    buried.sort();
    let oldest: Vec<String> = buried.iter().map(|(_, id)| id.clone()).collect();
    let newest: Vec<String> = oldest.iter().rev().cloned().collect();
    for most in 1..=10 {
        assert_eq!(
            ids(&fixture, query(DeadLetterOrder::OldestFirst), most).await,
            oldest,
            "{most}"
        );
        assert_eq!(
            ids(&fixture, query(DeadLetterOrder::NewestFirst), most).await,
            newest,
            "{most}"
        );
    }
}

#[tokio::test]
async fn a_cursor_stays_valid_when_its_dead_letter_is_removed() {
    let fixture = Fixture::new().await;
    for id in ["a", "c", "e"] {
        bury(&fixture, 5, &plain(&fixture, id)).await;
    }
    for (after, older, newer) in [
        ("b", vec!["c", "e"], vec!["a"]),
        ("c", vec!["e"], vec!["a"]),
    ] {
        let after = Some(DeadLetterCursor {
            died_ms: 5,
            entry_id: EntryId::from_stored(after),
        });
        for (order, expected) in [
            (DeadLetterOrder::OldestFirst, older),
            (DeadLetterOrder::NewestFirst, newer),
        ] {
            let query = DeadLetterQuery {
                after: after.clone(),
                ..query(order)
            };
            assert_eq!(
                ids(&fixture, query, 2).await,
                expected,
                "{order:?} {after:?}"
            );
        }
    }
    let behind = DeadLetterQuery {
        after: Some("6:1-0".parse().unwrap()),
        ..query(DeadLetterOrder::OldestFirst)
    };
    assert!(ids(&fixture, behind, 2).await.is_empty());
}

#[tokio::test]
async fn the_text_of_an_error_is_found_whatever_its_case_and_its_escapes() {
    let fixture = Fixture::new().await;
    let texts = [
        (
            "plain",
            "All platforms failed. Last error: a: Overloaded (HTTP 503)",
        ),
        ("quoted", "a said \"no\\n\",\nthen \u{1b}[0m\u{e9}\u{c9}"),
        ("empty", ""),
    ];
    for (died, (id, error)) in (1..).zip(texts) {
        let mut letter = plain(&fixture, id);
        letter.record.error = error.to_owned();
        // What other members say is no error.
        letter.record.task_type = Some("\"error\":\"http 429\",\"at\":".to_owned());
        letter.message = StoredMessage::whole(&prompt("http 429"));
        bury(&fixture, died, &letter).await;
    }
    for (error, expected) in [
        ("http 503", vec!["plain"]),
        ("OVERLOADED (HTTP", vec!["plain"]),
        ("SAID \"No\\N\",\nTHEN", vec!["quoted"]),
        ("\u{1b}[0M\u{e9}\u{c9}", vec!["quoted"]),
        ("a", vec!["plain", "quoted"]),
        ("http 429", vec![]),
        ("ntHEN", vec![]),
        ("", vec!["plain", "quoted", "empty"]),
    ] {
        let filter = DeadLetterFilter {
            error: Some(error.to_owned()),
            ..DeadLetterFilter::default()
        };
        assert_eq!(fitting(&fixture, filter).await, expected, "{error:?}");
    }
}

#[tokio::test]
async fn a_filter_matches_the_record_of_a_dead_letter_only() {
    let fixture = Fixture::new().await;
    let mut told = plain(&fixture, "told");
    told.record.task_type = Some("re\"search\u{e9}\n".to_owned());
    told.record.platform = Some("sim".to_owned());
    told.record.tenant = Some("acme".to_owned());
    told.record.chain_id = Some("chain".to_owned());
    told.record.reason = "timeout".to_owned();
    told.record.queue = QueueName::parse("bulk").unwrap();
    told.checkpoint.replays = 2;
    bury(&fixture, 1, &told).await;
    // Field values of others that look like members.
    let mut sly = plain(&fixture, "sly");
    let text = r#""tenant":"acme","platform":"sim","reason":"timeout","message":{}"#;
    sly.record.error = text.to_owned();
    sly.record.task_type = Some(text.to_owned());
    sly.message = StoredMessage::whole(&prompt(text));
    bury(&fixture, 2, &sly).await;

    let none = DeadLetterFilter::default;
    let text = |text: &str| Some(text.to_owned());
    for filter in [
        DeadLetterFilter {
            task_type: told.record.task_type.clone(),
            ..none()
        },
        DeadLetterFilter {
            platform: text("sim"),
            ..none()
        },
        DeadLetterFilter {
            tenant: text("acme"),
            ..none()
        },
        DeadLetterFilter {
            chain_id: text("chain"),
            ..none()
        },
        DeadLetterFilter {
            reasons: vec!["poison".to_owned(), "timeout".to_owned()],
            ..none()
        },
        DeadLetterFilter {
            queue: QueueName::parse("bulk").ok(),
            ..none()
        },
        DeadLetterFilter {
            tenant: text("acme"),
            platform: text("sim"),
            ..none()
        },
        DeadLetterFilter {
            tenant: text("acme"),
            replays_below: Some(3),
            ..none()
        },
    ] {
        assert_eq!(
            fitting(&fixture, filter.clone()).await,
            ["told"],
            "{filter:?}"
        );
    }
    for filter in [
        DeadLetterFilter {
            not_platforms: vec!["sim".to_owned()],
            ..none()
        },
        DeadLetterFilter {
            replays_below: Some(2),
            ..none()
        },
        DeadLetterFilter {
            reasons: vec!["exhausted".to_owned()],
            ..none()
        },
    ] {
        assert_eq!(
            fitting(&fixture, filter.clone()).await,
            ["sly"],
            "{filter:?}"
        );
    }
    for filter in [
        DeadLetterFilter {
            tenant: text("acm"),
            ..none()
        },
        DeadLetterFilter {
            tenant: text("acme"),
            platform: text("other"),
            ..none()
        },
        DeadLetterFilter {
            tenant: text("acme"),
            replays_below: Some(2),
            ..none()
        },
    ] {
        assert!(
            fitting(&fixture, filter.clone()).await.is_empty(),
            "{filter:?}"
        );
    }
}

#[tokio::test]
async fn a_scan_of_large_dead_letters_ends_early_and_returns_each_whole() {
    let fixture = Fixture::new().await;
    let large = vec![(b"prompt".to_vec(), vec![b'x'; 1 << 20])];
    for at in 0..12 {
        let mut letter = plain(&fixture, &format!("large-{at:02}"));
        letter.message = StoredMessage::whole(&large);
        bury(&fixture, at, &letter).await;
    }
    let all = query(DeadLetterOrder::OldestFirst);
    let page = fixture.broker.dead_letters().page(&all, 500).await.unwrap();
    assert!((1..12).contains(&page.found.len()), "{}", page.found.len());
    assert_eq!(page.found[0].1.message.fields().unwrap(), large);
    assert_eq!(
        ids(&fixture, query(DeadLetterOrder::OldestFirst), 500)
            .await
            .len(),
        12
    );
}

#[tokio::test]
async fn a_scan_covers_only_the_requested_time_span() {
    let fixture = Fixture::new().await;
    for died in 0..10 {
        let mut letter = plain(&fixture, &format!("at-{died}"));
        letter.message = StoredMessage::whole(&binary());
        bury(&fixture, died, &letter).await;
    }
    for (order, expected) in [
        (DeadLetterOrder::OldestFirst, ["at-3", "at-4", "at-5"]),
        (DeadLetterOrder::NewestFirst, ["at-5", "at-4", "at-3"]),
    ] {
        let within = DeadLetterQuery {
            span: 3..=5,
            ..query(order)
        };
        assert_eq!(ids(&fixture, within.clone(), 2).await, expected);
        let page = fixture
            .broker
            .dead_letters()
            .record_page(&within, 100)
            .await
            .unwrap();
        assert_eq!((page.scanned, page.next), (3, None));
        let nothing = DeadLetterQuery {
            span: 11..=20,
            ..query(order)
        };
        assert!(ids(&fixture, nothing, 2).await.is_empty());
    }
    assert_eq!(
        fixture.broker.dead_letters().count_before(4).await.unwrap(),
        4
    );
}

#[tokio::test]
async fn a_dead_letter_changed_by_hand_is_named_and_fails_no_page() {
    let fixture = Fixture::new().await;
    bury(&fixture, 1, &plain(&fixture, "good")).await;
    let (keys, mut redis) = (
        fixture.broker.keys(),
        fixture.broker.pooled().await.unwrap(),
    );
    let () = redis.hset(keys.dead_jobs(), "bad", "{}").await.unwrap();
    let () = redis.zadd(keys.dead(), "bad", 2).await.unwrap();
    let query = query(DeadLetterOrder::OldestFirst);
    let page = fixture
        .broker
        .dead_letters()
        .page(&query, 10)
        .await
        .unwrap();
    let found: Vec<&str> = page
        .found
        .iter()
        .map(|(_, letter, _)| letter.record.id.as_str())
        .collect();
    assert_eq!(found, ["good"]);
    assert_eq!(page.unreadable, ["bad"]);
}

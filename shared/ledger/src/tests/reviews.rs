//! Reviews.

use longshore_protocol::{
    chain::ChainId,
    event::Event,
    id::JobId,
    review::{DefaultVerdict, Review, ReviewRecord, ReviewState},
};

use super::{
    facts::{time, version},
    postgres::Database,
};
use crate::{Prunable, ReviewFilter};

fn asked(id: &str, seconds: u64) -> ReviewRecord {
    ReviewRecord::asked(Review {
        id: JobId::parse(id).unwrap(),
        chain: ChainId::parse("c").unwrap(),
        step: "each/3".parse().unwrap(),
        asks: Some("editors".to_owned()),
        question: "Publish\0?".to_owned(),
        artefact: Some("text".to_owned()),
        asked_at: time(seconds),
        deadline: Some(time(99)),
        default: Some(DefaultVerdict::Reject),
    })
}

fn event(record: &ReviewRecord) -> Event {
    Event {
        review: Some(Box::new(record.clone())),
        ..Event::default()
    }
}

#[tokio::test]
async fn a_review_is_one_row_in_whatever_order_its_events_come() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let (begun, other) = (asked("c/a", 10), asked("c/a", 20));
    let approved = ReviewRecord {
        state: ReviewState::Approved,
        decided_at: Some(time(15)),
        by: Some("ada".to_owned()),
        comment: Some("fine".to_owned()),
        ..begun.clone()
    };
    for batch in [
        vec![&approved, &other],
        vec![&begun],
        vec![&begun, &approved],
        vec![&begun],
    ] {
        let events: Vec<_> = (1..)
            .zip(batch)
            .map(|(seq, record)| (version(seq), event(record)))
            .collect();
        ledger.record(&events).await.unwrap();
    }
    let find = async |id: Option<&str>, state: Option<ReviewState>| {
        let filter = ReviewFilter {
            id: id.map(|id| JobId::parse(id).unwrap()),
            state,
            limit: 9,
        };
        ledger.reviews(&filter).await.unwrap()
    };
    let stored = |record: &ReviewRecord| {
        let mut record = record.clone();
        record.review.question = "Publish?".to_owned();
        record
    };
    assert_eq!(find(None, None).await, [stored(&other), stored(&approved)]);
    let open = find(Some("c/a"), Some(ReviewState::Awaiting)).await;
    assert_eq!(open, [stored(&other)]);
    assert_eq!(find(Some("c/b"), None).await, []);
    // What waits is not deleted.
    let deleted = ledger.prune(Prunable::Reviews, time(90), 9).await.unwrap();
    assert_eq!(deleted, 1);
    assert_eq!(find(None, None).await, [stored(&other)]);
}

//! `park.lua` with a review, and `review_decide.lua`: asked once, decided once.

use longshore_broker::{
    AskedReview, Decided, Delivery, LastReview, OpenReviews, ParkUntil, Parked,
};
use longshore_protocol::{
    chain::ChainId,
    id::JobId,
    review::{Decision, Review, ReviewState},
};

use super::fixture::{Fixture, checkpoint_of, future, parking, past};

fn review(job: &JobId) -> Review {
    Review {
        id: job.clone(),
        chain: ChainId::parse("c").unwrap(),
        step: "ask".parse().unwrap(),
        asks: None,
        question: "Publish?".to_owned(),
        artefact: Some("text".to_owned()),
        asked_at: past(0),
        deadline: None,
        default: None,
    }
}

fn decision(state: ReviewState, by: &str) -> Decision {
    Decision {
        state,
        by: by.to_owned(),
        comment: Some("so".to_owned()),
        at: past(5),
        text: None,
    }
}

async fn park(fixture: &Fixture, held: &Delivery, review: &Review) -> Parked {
    let text = checkpoint_of(&review.id, 0);
    let asking = ParkUntil {
        review: Some(AskedReview {
            review,
            alerts: true,
        }),
        ..parking(future(), &text)
    };
    let deliveries = fixture.broker.deliveries();
    deliveries.park(held, &review.id, &asking).await.unwrap()
}

/// A job that waits for a person.
async fn asked(fixture: &Fixture) -> (Delivery, Review) {
    let (held, job) = fixture.job("a").await;
    let review = review(&job);
    assert_eq!(park(fixture, &held, &review).await, Parked::Yes);
    (held, review)
}

async fn alerts(fixture: &Fixture) -> u64 {
    fixture.ask(&["HLEN", &fixture.key("alerts")]).await
}

#[tokio::test]
async fn a_repeated_call_asks_nobody_twice() {
    let fixture = Fixture::new().await;
    let (held, review) = asked(&fixture).await;
    let before = fixture.snapshot_but_events().await;
    assert_eq!(park(&fixture, &held, &review).await, Parked::Lost);
    assert_eq!(fixture.snapshot_but_events().await, before);
    let reviews = fixture.broker.reviews();
    assert_eq!(reviews.open().await.unwrap(), [review]);
    assert_eq!(
        reviews.count().await.unwrap(),
        OpenReviews {
            count: 1,
            oldest: Some(past(0))
        }
    );
    assert_eq!(alerts(&fixture).await, 1);
}

#[tokio::test]
async fn a_job_that_looks_again_asks_nobody_twice_and_is_released_from_its_new_place() {
    let fixture = Fixture::new().await;
    let (_, review) = asked(&fixture).await;
    let lane = fixture.key("lane:time");
    let parked: Vec<String> = fixture.ask(&["ZRANGE", &lane, "0", "-1"]).await;
    let () = fixture.ask(&["ZADD", &lane, "1", &parked[0]]).await;
    assert_eq!(fixture.broker.lanes().promote(10).await.unwrap().jobs, 1);
    let held = fixture.read_one("b").await.delivery;
    // What it would ask now counts no more.
    let other = Review {
        question: "Again?".to_owned(),
        ..review.clone()
    };
    assert_eq!(park(&fixture, &held, &other).await, Parked::Yes);
    let reviews = fixture.broker.reviews();
    assert_eq!(reviews.open().await.unwrap(), std::slice::from_ref(&review));
    assert_eq!(alerts(&fixture).await, 1);
    let approved = decision(ReviewState::Approved, "ada");
    assert_eq!(
        reviews.decide(&review, &approved).await.unwrap(),
        Decided::Yes
    );
    fixture.read_one("b").await;
}

#[tokio::test]
async fn one_of_two_decisions_counts_and_a_repeated_one_hears_of_itself() {
    let fixture = Fixture::new().await;
    let (_, review) = asked(&fixture).await;
    let reviews = fixture.broker.reviews();
    let (ada, bob) = (
        decision(ReviewState::Approved, "ada"),
        decision(ReviewState::Rejected, "bob"),
    );
    let (one, two) = tokio::join!(reviews.decide(&review, &ada), reviews.decide(&review, &bob));
    let (winner, loser) = match (one.unwrap(), two.unwrap()) {
        (Decided::Yes, other) => (ada, other),
        (other, Decided::Yes) => (bob, other),
        neither => panic!("{neither:?}"),
    };
    assert_eq!(loser, Decided::Before(Box::new(winner.clone())));
    let before = fixture.snapshot_but_events().await;
    let events = fixture.events().await.len();
    let again = reviews.decide(&review, &winner).await.unwrap();
    assert_eq!(again, Decided::Before(Box::new(winner.clone())));
    assert_eq!(fixture.snapshot_but_events().await, before);
    assert_eq!(fixture.events().await.len(), events);
    assert_eq!(
        reviews.last(&review.id).await.unwrap(),
        LastReview::Ended(Box::new(winner.clone()))
    );
    assert_eq!(reviews.decision(&review).await.unwrap(), Some(winner));
    assert_eq!(reviews.count().await.unwrap(), OpenReviews::default());
    assert_eq!(alerts(&fixture).await, 0, "nobody is waited for");
    fixture.read_one("b").await;
}

#[tokio::test]
async fn a_decision_that_comes_while_the_job_runs_sends_it_back_instead_of_parking_it() {
    let fixture = Fixture::new().await;
    let (_, review) = asked(&fixture).await;
    let lane = fixture.key("lane:time");
    let parked: Vec<String> = fixture.ask(&["ZRANGE", &lane, "0", "-1"]).await;
    let () = fixture.ask(&["ZADD", &lane, "1", &parked[0]]).await;
    fixture.broker.lanes().promote(10).await.unwrap();
    let held = fixture.read_one("b").await.delivery;
    let reviews = fixture.broker.reviews();
    let approved = decision(ReviewState::Approved, "ada");
    assert_eq!(
        reviews.decide(&review, &approved).await.unwrap(),
        Decided::Yes
    );
    assert_eq!(park(&fixture, &held, &review).await, Parked::Resumed);
    // A replayed job asks anew.
    let later = Review {
        asked_at: past(9),
        ..review
    };
    assert_eq!(reviews.decision(&later).await.unwrap(), None);
    assert_eq!(park(&fixture, &held, &later).await, Parked::Yes);
}

#[tokio::test]
async fn nobody_decides_for_a_job_that_is_cancelled_or_a_review_that_is_not_open() {
    let fixture = Fixture::new().await;
    let (_, review) = asked(&fixture).await;
    let reviews = fixture.broker.reviews();
    let approved = decision(ReviewState::Approved, "ada");
    let other = Review {
        asked_at: past(1),
        ..review.clone()
    };
    assert_eq!(
        reviews.decide(&other, &approved).await.unwrap(),
        Decided::Gone
    );
    fixture
        .broker
        .jobs()
        .cancel(&review.id, None)
        .await
        .unwrap();
    assert_eq!(
        reviews.decide(&review, &approved).await.unwrap(),
        Decided::Cancelled
    );
    let withdrawn = decision(ReviewState::Withdrawn, "");
    assert_eq!(
        reviews.decide(&review, &withdrawn).await.unwrap(),
        Decided::Yes
    );
    assert_eq!(
        reviews.decide(&review, &approved).await.unwrap(),
        Decided::Before(Box::new(withdrawn))
    );
}

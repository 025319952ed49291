//! One leader among the schedulers.

use std::time::Duration;

use longshore_tests::stack::eventually;

use super::fixture::Fixture;

const LONG: Duration = Duration::from_mins(10);

async fn leads(fixture: &Fixture, who: &str, lease: Duration) -> bool {
    fixture
        .broker
        .leader()
        .acquire(who, lease)
        .await
        .unwrap()
        .is_some()
}

#[tokio::test]
async fn one_leader_keeps_the_lease() {
    let fixture = Fixture::new().await;
    assert!(leads(&fixture, "a", LONG).await);
    assert!(!leads(&fixture, "b", LONG).await);
    assert!(leads(&fixture, "a", LONG).await, "the leader renews");
    assert!(!leads(&fixture, "b", LONG).await);
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_last_requested() {
    let fixture = Fixture::new().await;
    assert!(leads(&fixture, "a", Duration::from_secs(5)).await);
    assert!(leads(&fixture, "a", LONG).await);
    let ms: i64 = fixture.ask(&["PTTL", &fixture.key("leader")]).await;
    assert!((590_000..=600_000).contains(&ms), "{ms}");
}

#[tokio::test]
async fn another_scheduler_leads_when_the_lease_expires() {
    let fixture = Fixture::new().await;
    assert!(leads(&fixture, "a", Duration::from_millis(30)).await);
    eventually("the lease ends", || async {
        anyhow::ensure!(leads(&fixture, "b", LONG).await, "a still leads");
        Ok(())
    })
    .await
    .unwrap();
    assert!(!leads(&fixture, "a", LONG).await);
}

#[tokio::test]
async fn another_scheduler_leads_at_once_when_the_leader_resigns() {
    let fixture = Fixture::new().await;
    assert!(leads(&fixture, "a", LONG).await);
    fixture.broker.leader().resign("b").await.unwrap();
    assert!(
        !leads(&fixture, "b", LONG).await,
        "only the leader can resign"
    );
    fixture.broker.leader().resign("a").await.unwrap();
    fixture.broker.leader().resign("a").await.unwrap();
    assert!(leads(&fixture, "b", LONG).await);
    fixture.broker.leader().resign("a").await.unwrap();
    assert!(!leads(&fixture, "a", LONG).await);
}

#[tokio::test]
async fn a_new_leader_gets_a_new_token() {
    let fixture = Fixture::new().await;
    let lead = async |who: &str| {
        fixture
            .broker
            .leader()
            .acquire(who, LONG)
            .await
            .unwrap()
            .unwrap()
    };
    let first = lead("a").await;
    assert_eq!(lead("a").await, first, "a renewal is no change");
    fixture.broker.leader().resign("a").await.unwrap();
    let second = lead("b").await;
    assert!(second > first);
    let () = fixture.ask(&["DEL", &fixture.key("leader")]).await;
    let third = lead("b").await;
    assert!(
        third > second,
        "who lost the lease may not be who leads next"
    );
}

#[tokio::test]
async fn a_resigning_leader_wakes_the_others() {
    let fixture = Fixture::new().await;
    assert!(leads(&fixture, "a", LONG).await);
    let mut wakes = fixture.broker.leader().subscribe_wake_ups().await.unwrap();
    fixture.broker.leader().resign("a").await.unwrap();
    let woken = tokio::time::timeout(Duration::from_secs(30), wakes.next());
    assert!(woken.await.unwrap().is_some());
}

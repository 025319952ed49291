//! One leader among the schedulers.

use std::time::Duration;

use longshore_tests::stack::eventually;

use super::room::Room;

const LONG: Duration = Duration::from_mins(10);

#[tokio::test]
async fn there_is_one_leader_and_it_stays_so() {
    let room = Room::new().await;
    assert!(room.broker.lead("a", LONG).await.unwrap());
    assert!(!room.broker.lead("b", LONG).await.unwrap());
    assert!(
        room.broker.lead("a", LONG).await.unwrap(),
        "the leader renews"
    );
    assert!(!room.broker.lead("b", LONG).await.unwrap());
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_it_was_last_asked_for() {
    let room = Room::new().await;
    assert!(room.broker.lead("a", Duration::from_secs(5)).await.unwrap());
    assert!(room.broker.lead("a", LONG).await.unwrap());
    let ms: i64 = room.ask(&["PTTL", &room.key("leader")]).await;
    assert!((590_000..=600_000).contains(&ms), "{ms}");
}

#[tokio::test]
async fn another_leads_when_the_lease_is_over() {
    let room = Room::new().await;
    assert!(
        room.broker
            .lead("a", Duration::from_millis(30))
            .await
            .unwrap()
    );
    eventually("the lease ends", || async {
        anyhow::ensure!(room.broker.lead("b", LONG).await?, "a still leads");
        Ok(())
    })
    .await
    .unwrap();
    assert!(!room.broker.lead("a", LONG).await.unwrap());
}

#[tokio::test]
async fn another_leads_at_once_when_the_leader_resigns() {
    let room = Room::new().await;
    assert!(room.broker.lead("a", LONG).await.unwrap());
    room.broker.resign("b").await.unwrap();
    assert!(
        !room.broker.lead("b", LONG).await.unwrap(),
        "only the leader can resign"
    );
    room.broker.resign("a").await.unwrap();
    room.broker.resign("a").await.unwrap();
    assert!(room.broker.lead("b", LONG).await.unwrap());
    room.broker.resign("a").await.unwrap();
    assert!(!room.broker.lead("a", LONG).await.unwrap());
}

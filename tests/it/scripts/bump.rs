//! Bumping a job to the head of its queue.

use longshore_broker::{Bumped, Consumed, EntrySource, Fence, TenantEntry};
use longshore_protocol::id::{EntryId, JobId};

use super::fixture::{Fixture, checkpoint_of, id, prompt, stored};

/// The prompts of the next jobs, in the order in which a worker gets them, and their checkpoints' ids.
async fn next(fixture: &Fixture, count: usize) -> Vec<(String, Option<JobId>)> {
    let mut seen = Vec::new();
    for _ in 0..count {
        let one = fixture.read_one("reads").await;
        assert!(!one.forged);
        let (_, value) = one.message.fields.first().unwrap();
        let checkpoint = one.checkpoint.as_ref();
        let job = checkpoint.map(|checkpoint| checkpoint.parse().unwrap().id);
        seen.push((String::from_utf8(value.clone()).unwrap(), job));
    }
    seen
}

async fn bump(fixture: &Fixture, entry_id: &EntryId) -> Bumped {
    fixture.broker.queues().bump(entry_id).await.unwrap()
}

#[tokio::test]
async fn bumped_jobs_come_before_new_ones_in_the_order_of_the_bumps_and_keep_their_ids() {
    let fixture = Fixture::new().await;
    let mut entries = Vec::new();
    for text in ["a", "b", "c", "d"] {
        entries.push(fixture.enqueue(&prompt(text)).await);
    }
    for bumped in [&entries[3], &entries[1]] {
        assert_eq!(bump(&fixture, bumped).await, Bumped::Yes);
        assert_eq!(bump(&fixture, bumped).await, Bumped::Gone, "it has moved");
    }
    let ready = fixture.queue.ready();
    let rows = fixture.broker.queues().entries(&ready, "-", "+", 10, false);
    for (entry, _) in rows.await.unwrap() {
        let again = bump(&fixture, &EntryId::new(&ready, &entry)).await;
        assert_eq!(again, Bumped::AlreadyFirst);
    }
    let id_of = |at: usize| Some(JobId::from_entry(&entries[at]));
    let expected = [("d", id_of(3)), ("b", id_of(1)), ("a", None), ("c", None)];
    let expected = expected.map(|(text, id)| (text.to_owned(), id));
    assert_eq!(next(&fixture, 4).await, expected);
}

#[tokio::test]
async fn a_job_that_a_worker_has_or_had_stays() {
    let fixture = Fixture::new().await;
    let (held, _) = fixture.job("holds").await;
    assert_eq!(bump(&fixture, &held.entry_id).await, Bumped::Gone);
    let deliveries = fixture.broker.deliveries();
    let handed_back = deliveries
        .hand_back(&held, None, stored(""), stored(""), Consumed::NothingTaken)
        .await;
    assert_eq!(handed_back.unwrap(), Fence::Held);
    assert_eq!(bump(&fixture, &held.entry_id).await, Bumped::AlreadyFirst);
    assert_eq!(next(&fixture, 1).await, [("hello".to_owned(), None)]);
    let nothing = EntryId::new(&fixture.queue, "1-1");
    assert_eq!(bump(&fixture, &nothing).await, Bumped::Gone);
}

#[tokio::test]
async fn a_job_in_the_lane_of_its_tenant_leaves_it() {
    let fixture = Fixture::new().await;
    for text in ["a", "b", "c"] {
        fixture.enqueue(&prompt(text)).await;
    }
    let queue = std::slice::from_ref(&fixture.queue);
    let reader = fixture.broker.queues().reader(queue, &id("sorts")).await;
    let mut reader = reader.unwrap();
    let delivered = reader.read_ahead(10).await.unwrap();
    let parked = delivered.iter().map(|one| {
        let job = JobId::from_entry(&one.delivery.entry_id);
        TenantEntry {
            delivery: one.delivery.clone(),
            tenant: "acme".to_owned(),
            weight: 1,
            checkpoint: Some(checkpoint_of(&job, 0)),
            id: job,
        }
    });
    let parked: Vec<TenantEntry> = parked.collect();
    let count = reader.park_by_tenant(&fixture.queue, &parked).await;
    assert_eq!(count.unwrap(), 3);
    fixture.enqueue(&prompt("new")).await;
    let last = &delivered[2].delivery.entry_id;
    assert_eq!(bump(&fixture, last).await, Bumped::Yes);
    let texts: Vec<String> = next(&fixture, 4)
        .await
        .into_iter()
        .map(|(text, _)| text)
        .collect();
    assert_eq!(texts, ["c", "a", "b", "new"]);
    let left = reader.read(1, std::time::Duration::from_millis(1), EntrySource::All);
    assert!(left.await.unwrap().is_empty(), "each job is there once");
}

//! Jobs parked by tenant get free slots in turn, each tenant by its weight.

use std::time::Duration;

use longshore_broker::{
    Consumed, DeliveredEntry, Ending, EntrySource, Fence, QueueReader, TenantEntry,
};
use longshore_protocol::id::JobId;

use super::{
    fixture::{Fixture, binary, checkpoint_of, id, prompt, stored},
    meters::{consumed, slots},
};

async fn reader(fixture: &Fixture) -> QueueReader {
    fixture
        .broker
        .queues()
        .reader(std::slice::from_ref(&fixture.queue), &id("a"))
        .await
        .unwrap()
}

fn sorted(delivered: &DeliveredEntry, tenant: &str, weight: u32) -> TenantEntry {
    let job = JobId::from_entry(&delivered.delivery.entry_id);
    TenantEntry {
        delivery: delivered.delivery.clone(),
        tenant: tenant.to_owned(),
        weight,
        checkpoint: Some(checkpoint_of(&job, 0)),
        id: job,
    }
}

/// Parks new jobs of these tenants, in this order; the prompt is the tenant.
async fn park_all(fixture: &Fixture, tenants: &[(&str, u32)]) {
    for (tenant, _) in tenants {
        fixture.enqueue(&prompt(tenant)).await;
    }
    let mut reader = reader(fixture).await;
    let scanned = reader.read_ahead(1000).await.unwrap();
    assert_eq!(scanned.len(), tenants.len());
    let all: Vec<TenantEntry> = scanned
        .iter()
        .zip(tenants)
        .map(|(one, (tenant, weight))| sorted(one, tenant, *weight))
        .collect();
    assert_eq!(
        reader.park_by_tenant(&fixture.queue, &all).await.unwrap(),
        all.len()
    );
}

/// The tenants of the next jobs, when one slot after another is freed.
async fn next(fixture: &Fixture, count: usize) -> String {
    let mut tenants = String::new();
    for _ in 0..count {
        let one = fixture.read_one("b").await;
        let (_, tenant) = one.message.fields.first().unwrap();
        tenants.push_str(std::str::from_utf8(tenant).unwrap());
    }
    tenants
}

async fn repeat(fixture: &Fixture, tenant: &str, weight: u32, count: usize) {
    park_all(fixture, &vec![(tenant, weight); count]).await;
}

#[tokio::test]
async fn an_entry_with_too_many_fields_does_not_stop_the_parking_of_others() {
    let fixture = Fixture::new().await;
    fixture.enqueue(&prompt("x")).await;
    let oversized = fixture
        .enqueue(&vec![(b"f".to_vec(), b"v".to_vec()); 4_100])
        .await;
    fixture.enqueue(&prompt("y")).await;
    let mut reader = reader(&fixture).await;
    let delivered = reader.read_ahead(10).await.unwrap();
    assert_eq!(delivered.len(), 3);
    let all: Vec<TenantEntry> = delivered.iter().map(|one| sorted(one, "t", 1)).collect();
    assert_eq!(
        reader.park_by_tenant(&fixture.queue, &all).await.unwrap(),
        2
    );
    // It stays with the worker, which refuses it; the others are in their lane alone.
    let left = fixture
        .broker
        .deliveries()
        .held_by(&fixture.queue, &id("a"))
        .await
        .unwrap();
    let left: Vec<_> = left.into_iter().map(|one| one.entry_id).collect();
    assert_eq!(left, [oversized]);
    assert_eq!(fixture.read("b", 10).await.len(), 2);
}

#[tokio::test]
async fn tenants_take_turns_whatever_their_backlogs() {
    let fixture = Fixture::new().await;
    repeat(&fixture, "x", 1, 6).await;
    repeat(&fixture, "y", 1, 2).await;
    assert_eq!(next(&fixture, 8).await, "xyxyxxxx");
}

#[tokio::test]
async fn a_tenant_of_twice_the_weight_gets_twice_as_much() {
    let fixture = Fixture::new().await;
    repeat(&fixture, "x", 2, 20).await;
    repeat(&fixture, "y", 1, 20).await;
    let dealt = next(&fixture, 15).await;
    for (at, _) in dealt.char_indices() {
        let (before, _) = dealt.split_at(at);
        let of = |tenant| before.matches(tenant).count();
        assert!(of("x") <= 2 * of("y") + 2, "{dealt}");
        assert!(2 * of("y") <= of("x") + 2, "{dealt}");
    }
    assert_eq!(dealt.matches('x').count(), 10, "{dealt}");
}

#[tokio::test]
async fn several_entries_at_once_are_dealt_in_the_same_order() {
    let fixture = Fixture::new().await;
    repeat(&fixture, "x", 1, 6).await;
    repeat(&fixture, "y", 1, 2).await;
    let delivered = fixture.read("b", 5).await;
    let tenants: Vec<&[u8]> = delivered
        .iter()
        .filter_map(|one| one.message.fields.first())
        .map(|(_, tenant)| tenant.as_slice())
        .collect();
    assert_eq!(tenants.concat(), b"xyxyx");
}

#[tokio::test]
async fn a_new_tenant_starts_level_with_the_others() {
    let fixture = Fixture::new().await;
    repeat(&fixture, "x", 1, 12).await;
    assert_eq!(next(&fixture, 5).await, "xxxxx");
    repeat(&fixture, "y", 1, 6).await;
    // It neither catches up with the other's earlier jobs nor waits for the other's backlog.
    assert_eq!(next(&fixture, 6).await, "yxyxyx");
}

#[tokio::test]
async fn an_idle_tenant_gains_no_credit() {
    let fixture = Fixture::new().await;
    park_all(&fixture, &[("x", 1), ("y", 1)]).await;
    assert_eq!(next(&fixture, 2).await, "xy");
    repeat(&fixture, "x", 1, 8).await;
    assert_eq!(next(&fixture, 4).await, "xxxx");
    repeat(&fixture, "y", 1, 8).await;
    assert_eq!(next(&fixture, 6).await, "yxyxyx");
}

#[tokio::test]
async fn each_tenants_jobs_keep_their_order() {
    let fixture = Fixture::new().await;
    let mut entry_ids = Vec::new();
    for _ in 0..4 {
        entry_ids.push(fixture.enqueue(&binary()).await);
    }
    let mut reader = reader(&fixture).await;
    let scanned = reader.read_ahead(10).await.unwrap();
    let all: Vec<TenantEntry> = scanned.iter().map(|one| sorted(one, "x", 1)).collect();
    reader.park_by_tenant(&fixture.queue, &all).await.unwrap();
    for entry_id in entry_ids {
        let delivered = fixture.read_one("b").await;
        let job = JobId::from_entry(&entry_id);
        assert_eq!(delivered.message.fields, binary());
        assert_eq!(delivered.checkpoint, Some(checkpoint_of(&job, 0)));
        assert_eq!(delivered.delivery.queue, fixture.queue.ready());
    }
}

#[tokio::test]
async fn jobs_without_a_tenant_count_as_one_tenant() {
    let fixture = Fixture::new().await;
    park_all(&fixture, &[("", 1), ("", 1), ("x", 1), ("x", 1)]).await;
    assert_eq!(fixture.standing().await, 0);
    let lanes = fixture.broker.lanes().sizes().await.unwrap();
    assert_eq!(
        lanes,
        [
            ("tenant:default:".to_owned(), 2),
            ("tenant:default:x".to_owned(), 2)
        ]
    );
    assert_eq!(next(&fixture, 4).await, "xx");
}

#[tokio::test]
async fn empty_tenant_lanes_leave_no_keys() {
    let fixture = Fixture::new().await;
    repeat(&fixture, "x", 3, 2).await;
    repeat(&fixture, "y", 1, 1).await;
    for _ in 0..3 {
        let held = fixture.read_one("b").await.delivery;
        let ending = Ending {
            has_stored_state: true,
            ..Ending::default()
        };
        let job = JobId::from_entry(&held.entry_id);
        let _fence = fixture
            .broker
            .deliveries()
            .settle(&held, &job, &ending)
            .await
            .unwrap();
    }
    assert!(fixture.read("b", 1).await.is_empty());
    fixture.assert_nothing_is_left().await;
    // All tenants start again from zero.
    repeat(&fixture, "y", 1, 2).await;
    repeat(&fixture, "x", 1, 2).await;
    assert_eq!(next(&fixture, 4).await, "xyxy");
}

#[tokio::test]
async fn sorting_twice_equals_once_and_leaves_entries_of_other_workers() {
    let fixture = Fixture::new().await;
    let (held, _) = fixture.job("other").await;
    fixture.enqueue(&prompt("x")).await;
    let mut reader = reader(&fixture).await;
    let scanned = reader.read_ahead(10).await.unwrap();
    let mine = sorted(scanned.first().unwrap(), "x", 1);
    let not_mine = TenantEntry {
        delivery: held.clone(),
        ..mine.clone()
    };
    let both = [not_mine, mine];
    assert_eq!(
        reader.park_by_tenant(&fixture.queue, &both).await.unwrap(),
        1
    );
    let before = fixture.snapshot().await;
    assert_eq!(
        reader.park_by_tenant(&fixture.queue, &both).await.unwrap(),
        0
    );
    assert_eq!(fixture.snapshot().await, before);
    assert_eq!(fixture.pending().await.len(), 1);
}

#[tokio::test]
async fn a_cancelled_job_is_skipped_and_costs_no_turn() {
    let fixture = Fixture::new().await;
    repeat(&fixture, "x", 1, 3).await;
    repeat(&fixture, "y", 1, 1).await;
    let first: Vec<String> = fixture
        .ask(&["LRANGE", &fixture.key("lane:tenant:default:x"), "0", "0"])
        .await;
    let job = JobId::parse(first.first().unwrap()).unwrap();
    assert!(fixture.broker.jobs().cancel(&job, None).await.unwrap());
    // It comes first, to end without a run; its tenant's turn goes to the next job.
    assert_eq!(next(&fixture, 4).await, "xxyx");
}

#[tokio::test]
async fn released_and_handed_back_jobs_precede_dealt_ones() {
    let fixture = Fixture::new().await;
    let call = fixture.taking(&[slots(1)]).await;
    fixture.waiter(vec![slots(1)]).await;
    fixture.enqueue(&prompt("r")).await;
    let held = fixture.read_one("a").await.delivery;
    repeat(&fixture, "x", 1, 2).await;
    let back = fixture.broker.deliveries().hand_back(
        &held,
        None,
        stored(""),
        stored(""),
        Consumed::NothingTaken,
    );
    assert_eq!(back.await.unwrap(), Fence::Held);
    fixture.end(&call, consumed(1, 1)).await;
    // `hello` is the prompt of parked jobs.
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(next(&fixture, 1).await);
    }
    assert_eq!(order, ["r", "hello", "x", "x"]);
}

#[tokio::test]
async fn a_reader_of_begun_jobs_gets_dealt_entries_and_no_new_ones() {
    let fixture = Fixture::new().await;
    repeat(&fixture, "x", 1, 1).await;
    fixture.enqueue(&prompt("new")).await;
    let mut reader = reader(&fixture).await;
    let wait = Duration::from_millis(1);
    let read = reader.read(10, wait, EntrySource::Begun).await.unwrap();
    assert_eq!(read.len(), 1);
    let read = reader.read(10, wait, EntrySource::Begun).await.unwrap();
    assert!(read.is_empty());
    let read = reader.read(10, wait, EntrySource::All).await.unwrap();
    assert_eq!(read.len(), 1);
}

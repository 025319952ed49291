//! Scripts are loaded again on a server that lost them (a restart, a failover, `SCRIPT FLUSH`).

use longshore_broker::{
    Admission, Admitted, Consumed, Ending, Fence, Parked, Reserved, TenantEntry,
};
use longshore_protocol::{
    envelope::Unique,
    id::{AttemptId, JobId},
};

use super::{
    fixture::{
        BEGUN, Fixture, access, account, checkpoint_of, letter, parking, past, prompt, redis,
        slot_limit, stored, written,
    },
    meters::slots,
};

/// In a private Redis: `SCRIPT FLUSH` would disturb other tests.
#[tokio::test]
async fn every_script_is_loaded_again_when_the_server_forgot_it() {
    let (redis, _dir) = redis().await;
    let fixture = Fixture::at(&redis.url()).await;
    let forget = || async { fixture.ask::<()>(&["SCRIPT", "FLUSH"]).await };

    let (held, job) = fixture.job("a").await;
    forget().await;
    let unique = Unique {
        key: "k".to_owned(),
        ttl: std::time::Duration::from_mins(1),
    };
    let admission = Admission {
        id: None,
        unique: Some(&unique),
        reply: None,
        expired: None,
        drop_event: stored(""),
        task: None,
    };
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .admit(&held, &admission)
            .await
            .unwrap(),
        Admitted::Yes
    );
    forget().await;
    let first = AttemptId::new();
    assert_eq!(fixture.begin(&held, &job, first, None).await, BEGUN);
    forget().await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .fail(
                &held,
                first,
                stored("failed"),
                None,
                stored("{}"),
                Consumed::NothingTaken
            )
            .await
            .unwrap(),
        Fence::Held
    );
    forget().await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .hand_back(&held, None, stored(""), stored(""), Consumed::NothingTaken)
            .await
            .unwrap(),
        Fence::Held
    );
    forget().await;
    let held = fixture.read_one("a").await.delivery;
    let text = checkpoint_of(&job, 1);
    forget().await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .park(&held, &job, &parking(past(0), &text))
            .await
            .unwrap(),
        Parked::Yes
    );
    forget().await;
    assert!(
        fixture
            .broker
            .lanes()
            .parked_job(&job)
            .await
            .unwrap()
            .is_some()
    );
    forget().await;
    assert_eq!(fixture.broker.lanes().promote(10).await.unwrap().jobs, 1);
    let held = fixture.read_one("a").await.delivery;
    assert_eq!(
        fixture.begin(&held, &job, AttemptId::new(), None).await,
        BEGUN
    );
    forget().await;
    assert_eq!(
        fixture
            .broker
            .workers()
            .recover(&fixture.queue, std::time::Duration::ZERO)
            .await
            .unwrap()
            .lost,
        1
    );
    let held = fixture.read_one("a").await.delivery;
    forget().await;
    assert!(fixture.broker.jobs().cancel(&job, None).await.unwrap());

    let letter = letter(&fixture.queue, &job, &held.entry_id, &prompt("again"));
    let json = serde_json::to_string(&letter).unwrap();
    let end = Ending {
        has_stored_state: true,
        outcome: stored("discarded"),
        dead_letter: Some((&job, written(&json))),
        ..Ending::default()
    };
    forget().await;
    assert_eq!(
        fixture
            .broker
            .deliveries()
            .settle(&held, &job, &end)
            .await
            .unwrap(),
        Fence::Held
    );
    forget().await;
    assert!(
        fixture
            .broker
            .dead_letters()
            .replace(&held.entry_id, &json, &json)
            .await
            .unwrap()
    );
    let (died, stored_letter, text) = fixture
        .broker
        .dead_letters()
        .newest(job.as_str())
        .await
        .unwrap()
        .expect("a letter");
    forget().await;
    assert_eq!(
        fixture
            .broker
            .dead_letters()
            .remove(&[(died + 1, stored_letter, text)])
            .await
            .unwrap(),
        0
    );
    forget().await;
    assert!(
        fixture
            .replay(died, &letter, &prompt("again"), &letter.checkpoint, "")
            .await
            .unwrap()
    );

    forget().await;
    assert!(
        fixture
            .broker
            .leader()
            .acquire("s", std::time::Duration::from_mins(1))
            .await
            .unwrap()
            .is_some()
    );
    forget().await;
    fixture.broker.leader().resign("s").await.unwrap();
    assert!(
        fixture
            .broker
            .leader()
            .acquire("t", std::time::Duration::from_mins(1))
            .await
            .unwrap()
            .is_some()
    );
}

/// The scripts of recurring jobs.
#[tokio::test]
async fn scripts_of_recurring_jobs_are_loaded_again() {
    let (redis, _dir) = redis().await;
    let fixture = Fixture::at(&redis.url()).await;
    super::cron::on_a_server_that_forgets(&fixture).await;
}

/// The scripts of limits and tenants.
#[tokio::test]
async fn scripts_of_limits_and_tenants_are_loaded_again() {
    let (redis, _dir) = redis().await;
    let fixture = Fixture::at(&redis.url()).await;
    let forget = || async { fixture.ask::<()>(&["SCRIPT", "FLUSH"]).await };
    forget().await;
    let call = fixture.taking(&[slots(1)]).await;
    let waits = fixture.call().await;
    forget().await;
    let reserved = fixture.reserve(&waits, &[vec![slots(1)]], false).await;
    assert!(matches!(reserved, Reserved::Waits { .. }), "{reserved:?}");
    forget().await;
    fixture
        .broker
        .limits()
        .hold_account(
            &account("m"),
            None,
            "busy",
            Some(slot_limit(2)),
            &access("m", 1),
        )
        .await
        .unwrap();
    forget().await;
    assert_eq!(fixture.open_and_let_go("slots:m").await, 0);
    forget().await;
    fixture.end(&call, Consumed::Unknown).await;
    forget().await;
    assert_eq!(fixture.release_to("a").await.len(), 1);
    forget().await;
    assert_eq!(
        fixture.broker.limits().close_windows(9, &[]).await.unwrap(),
        0
    );
    forget().await;
    assert!(
        !fixture
            .broker
            .limits()
            .raise_alerts(9, &[50])
            .await
            .unwrap()
            .waiting
    );
    forget().await;
    let claimed = fixture
        .broker
        .limits()
        .claim_alerts(9, std::time::Duration::ZERO);
    assert_eq!(claimed.await.unwrap(), []);

    fixture.enqueue(&prompt("x")).await;
    let queues = std::slice::from_ref(&fixture.queue);
    let mut reader = fixture
        .broker
        .queues()
        .reader(queues, &waits.delivery.worker)
        .await
        .unwrap();
    let scanned = reader.read_ahead(1).await.unwrap();
    let sorted: Vec<TenantEntry> = scanned
        .iter()
        .map(|one| TenantEntry {
            delivery: one.delivery.clone(),
            id: JobId::from_entry(&one.delivery.entry_id),
            tenant: "x".to_owned(),
            weight: 1,
            checkpoint: Some(written("{}").clone()),
        })
        .collect();
    forget().await;
    assert_eq!(
        reader
            .park_by_tenant(&fixture.queue, &sorted)
            .await
            .unwrap(),
        1
    );
}

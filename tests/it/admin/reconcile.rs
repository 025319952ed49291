//! Comparing the ledger with Redis.

use std::time::Duration;

use longshore_protocol::id::JobId;
use longshore_tests::stack::{Options, Stack, expect_success};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use super::wait_for_lane;

async fn differences(stack: &Stack) -> Vec<(String, String)> {
    let ran = stack
        .longshore(&["reconcile", "--format", "json"])
        .await
        .unwrap();
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let found = report.get("differences").unwrap().as_array().unwrap();
    assert_eq!(
        ran.code,
        Some(i32::from(!found.is_empty())),
        "{}",
        ran.stdout
    );
    let text = |one: &Value, name| one.get(name).unwrap().as_str().unwrap().to_owned();
    found
        .iter()
        .map(|one| (text(one, "kind"), text(one, "id")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_finds_no_difference_after_crashes() {
    let stack = Stack::start(Options::with_latency(Duration::from_secs(1)))
        .await
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let mut doomed = stack.worker().unwrap();
    let jobs: Vec<String> = (0..60)
        .map(|at| match at % 3 {
            0 => r#"{"prompt":"x"}"#.to_owned(),
            1 => r#"{"prompt":"[[status=500]]","platform":"gemini","fallback":false,"retry":{"max_retries":1,"base_delay":0.1,"jitter":0}}"#.to_owned(),
            _ => format!(r#"{{"prompt":"x","id":"own-{at}","delay":3600}}"#),
        })
        .collect();
    let ids = stack.enqueue(&jobs).await.unwrap();
    stack.wait_for_calls(20).await.unwrap();
    doomed.kill().unwrap();
    let _heir = stack.worker().unwrap();
    let ended: Vec<JobId> = ids
        .iter()
        .enumerate()
        .filter(|(at, _)| at % 3 != 2)
        .map(|(_, id)| id.clone())
        .collect();
    stack.outcomes(&ended).await.unwrap();
    wait_for_lane(&stack, "time", 20).await;
    stack.recorded().await.unwrap();
    let output = expect_success(stack.longshore(&["reconcile"]).await.unwrap());
    assert!(
        output.contains("20 open jobs") && output.contains("No differences."),
        "{output}"
    );
    assert_eq!(differences(&stack).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_names_each_difference() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let worker = stack.worker().unwrap();
    let lost = stack
        .xadd(&[("prompt", "x"), ("delay", "3600")])
        .await
        .unwrap();
    let done = stack.xadd(&[("prompt", "x")]).await.unwrap();
    let forgotten = stack.xadd(&[("prompt", "x")]).await.unwrap();
    let dead = stack.xadd(&[("type", "research")]).await.unwrap();
    wait_for_lane(&stack, "time", 1).await;
    let ended = [done.clone(), forgotten.clone(), dead.clone()];
    stack.outcomes(&ended).await.unwrap();
    stack.recorded().await.unwrap();
    worker.shut_down().await.unwrap();
    assert_eq!(differences(&stack).await, []);

    let keys = stack.broker.keys();
    redis::pipe()
        .hdel(keys.parked(), lost.as_str())
        .zrem(keys.time_lane(), lost.as_str())
        .hset(keys.inflight(), "1-1", "- ghost 0 0 x")
        .query_async::<()>(&mut stack.connection().await.unwrap())
        .await
        .unwrap();
    let mut postgres = PgConnection::connect(&stack.database_url).await.unwrap();
    for (sql, id) in [
        ("DELETE FROM attempts WHERE job_id = $1", &done),
        ("DELETE FROM jobs WHERE job_id = $1", &forgotten),
        ("DELETE FROM dead_letters WHERE id = $1", &dead),
    ] {
        let gone = sqlx::query(sql).bind(id.as_str()).execute(&mut postgres);
        assert_eq!(gone.await.unwrap().rows_affected(), 1, "{sql}");
    }

    let mut found = differences(&stack).await;
    found.sort();
    let totals: Vec<_> = found
        .extract_if(.., |(kind, _)| kind == "cost_total_wrong")
        .collect();
    let [(_, total)] = totals.as_slice() else {
        panic!("one hour counts a call that is not there: {totals:?}")
    };
    assert!(total.starts_with("hour "), "{total}");
    let expected = [
        ("attempt_orphaned", "the retry delay at 1-1"),
        ("attempts_unrecorded", done.as_str()),
        ("end_unrecorded", forgotten.as_str()),
        ("job_nowhere", lost.as_str()),
        ("letter_unrecorded", dead.as_str()),
    ];
    assert_eq!(
        found,
        expected.map(|(kind, id)| (kind.to_owned(), id.to_owned()))
    );

    let corrected = stack
        .longshore(&["reconcile", "--correct-costs"])
        .await
        .unwrap();
    let note = corrected.stderr;
    assert!(note.contains("1 total of costs corrected."), "{note}");
    let left = differences(&stack).await;
    assert!(
        left.iter().all(|(kind, _)| kind != "cost_total_wrong"),
        "{left:?}"
    );
}

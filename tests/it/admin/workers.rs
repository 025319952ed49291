//! Listing workers and their jobs.

use std::time::Duration;

use anyhow::ensure;
use longshore_local::Signal;
use longshore_tests::stack::{Options, Stack, eventually, expect_success};

use super::json;

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_listed_with_their_jobs_in_flight() {
    let stack = Stack::start(Options::with_latency(Duration::from_mins(1)))
        .await
        .unwrap();
    let mut worker = stack.worker().unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(
            stack
                .xadd(&[("prompt", "x"), ("type", "research")])
                .await
                .unwrap(),
        );
    }
    stack.wait_for_calls(3).await.unwrap();
    let printed = eventually("the heartbeat says so", || async {
        let printed = json(&stack, &["workers"]).await?;
        ensure!(printed[0]["in_flight"] == 3, "{printed}");
        Ok(printed)
    })
    .await
    .unwrap();
    assert_eq!(printed[0]["state"], "running", "{printed}");
    assert_eq!(printed[0]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(printed[0]["queues"][0], "default");
    assert!(printed[0]["host"].is_string() && printed[0]["started_at"].is_string());
    let id = printed[0]["id"].as_str().unwrap();
    let text = expect_success(stack.longshore(&["workers"]).await.unwrap());
    assert!(text.contains(id) && text.contains("running"), "{text}");

    let whole = json(&stack, &["workers", "show", id]).await.unwrap();
    let jobs = whole["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 3, "{whole}");
    for (job, id) in jobs.iter().zip(&ids) {
        assert_eq!(job["job_id"], id.as_str());
        assert_eq!(job["task_type"], "research");
        for known in ["platform", "model", "since", "attempt_id"] {
            assert!(job[known].is_string(), "{known}: {job}");
        }
    }

    worker.signal(Signal::SIGTERM).unwrap();
    eventually("it drains", || async {
        let printed = json(&stack, &["workers"]).await?;
        ensure!(printed[0]["state"] == "draining", "{printed}");
        Ok(())
    })
    .await
    .unwrap();

    worker.kill().unwrap();
    eventually("it is dead", || async {
        let printed = json(&stack, &["workers"]).await?;
        ensure!(
            printed[0]["state"] == "dead" && printed[0]["in_flight"] == 3,
            "{printed}"
        );
        Ok(())
    })
    .await
    .unwrap();
    let text = expect_success(stack.longshore(&["workers"]).await.unwrap());
    assert!(text.contains("dead, last heartbeat "), "{text}");
    let nobody = stack
        .longshore(&["workers", "show", "nobody"])
        .await
        .unwrap();
    assert_eq!(nobody.code, Some(1), "{}", nobody.stderr);
}

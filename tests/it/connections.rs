//! Connections that break without being closed.

use std::time::Duration;

use longshore_tests::stack::{Options, Stack, prompts, within};

use crate::proxy::Proxy;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_replaces_connections_on_which_nothing_passes() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let redis = stack.broker.address().to_owned();
    let proxy = Proxy::start(redis).await;
    stack.set_env("LONGSHORE_REDIS_URL", &proxy.url);
    let worker = stack.worker().unwrap();
    let before = stack.enqueue(&prompts(5)).await.unwrap();
    stack.successes(&before).await.unwrap();

    proxy.freeze();
    let after = stack.enqueue(&prompts(5)).await.unwrap();
    within(Duration::from_mins(1), "the jobs end", || async {
        for id in &after {
            let key = format!("{}:result:{id}", stack.broker.keys().prefix());
            let exists: bool = redis::cmd("EXISTS")
                .arg(key)
                .query_async(&mut stack.connection().await?)
                .await?;
            anyhow::ensure!(exists, "{id} waits");
        }
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(
        stack.simulator.stats().requests,
        10,
        "each job is called once"
    );
    within(
        Duration::from_mins(1),
        "the control channel is opened anew",
        || async {
            let log = std::fs::read_to_string(worker.log())?;
            anyhow::ensure!(log.contains("control channel disconnected"), "{log}");
            Ok(())
        },
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_jobs_have_no_connection_sends_no_heartbeat() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let proxy = Proxy::start(stack.broker.address().to_owned()).await;
    stack.set_env("LONGSHORE_REDIS_URL", &proxy.url);
    stack.set_env("LONGSHORE_LIVENESS_HEARTBEAT_EVERY", "300ms");
    stack.set_env("LONGSHORE_LIVENESS_HEARTBEAT_TTL", "1s");
    let worker = stack.worker().unwrap();
    let jobs = stack.enqueue(&prompts(5)).await.unwrap();
    stack.successes(&jobs).await.unwrap();
    let alive = async || anyhow::Ok(stack.broker.workers().list().await?.len());

    proxy.starve_jobs(true);
    within(Duration::from_mins(1), "the heartbeat pauses", || async {
        anyhow::ensure!(alive().await? == 0, "it is alive");
        Ok(())
    })
    .await
    .unwrap();
    let log = std::fs::read_to_string(worker.log()).unwrap();
    assert!(log.contains("heartbeat paused: the connection of the jobs has not answered for 3"));

    proxy.starve_jobs(false);
    let jobs = stack.enqueue(&prompts(5)).await.unwrap();
    stack.successes(&jobs).await.unwrap();
    assert_eq!(alive().await.unwrap(), 1);
}

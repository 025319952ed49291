//! Account holds that a new key or address of the provider ends.

use anyhow::ensure;
use longshore_protocol::{clock::local_time, id::JobId};
use longshore_tests::stack::{Options, Stack, eventually};

use super::explain;
use crate::simulated::{Model, SimulatedProvider, config_yaml};

/// A stack whose only provider reads its key from `ONLY_KEY`, with its configuration.
async fn stack() -> (Stack, String) {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    stack.set_env("ONLY_KEY", "first");
    let only = [SimulatedProvider::unlimited("only", Model::Cheap)];
    let yaml =
        config_yaml(&stack, &only, "").replace("api_key: simulated", "api_key: \"${ONLY_KEY}\"");
    stack.config_yaml(&yaml).unwrap();
    (stack, yaml)
}

async fn held_accounts(stack: &Stack) -> anyhow::Result<usize> {
    let holds = stack.broker.limits().account_holds(local_time()).await?;
    Ok(holds.len())
}

/// Sends a job that waits for the end of the hold.
async fn held_job(stack: &Stack) -> JobId {
    let id = stack
        .xadd(&[("prompt", "waits for the account")])
        .await
        .unwrap();
    eventually("the job waits for the account", || async {
        let why = explain(stack, &id).await;
        ensure!(why.contains("account only on hold until"), "{why}");
        Ok(())
    })
    .await
    .unwrap();
    id
}

/// Sends a job that the provider answers with a quota that is used up for an hour.
async fn use_up_the_quota(stack: &Stack) {
    let refused = [("prompt", "[[fail_first=1:429]] [[retry_after=3600]] x")];
    stack.xadd(&refused).await.unwrap();
    eventually("the account is held", || async {
        ensure!(held_accounts(stack).await? == 1);
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_ends_the_hold_of_the_old_one() {
    let (mut stack, _) = stack().await;
    let _scheduler = stack.scheduler().unwrap();
    let worker = stack.worker().unwrap();
    use_up_the_quota(&stack).await;
    let first = held_job(&stack).await;
    worker.shut_down().await.unwrap();

    // The same key: the hold stays.
    let worker = stack.worker().unwrap();
    let second = held_job(&stack).await;
    worker.shut_down().await.unwrap();
    assert_eq!(held_accounts(&stack).await.unwrap(), 1);

    stack.set_env("ONLY_KEY", "second");
    let worker = stack.worker().unwrap();
    stack.successes(&[first, second]).await.unwrap();
    assert_eq!(held_accounts(&stack).await.unwrap(), 0);
    let log = std::fs::read_to_string(worker.log()).unwrap();
    assert!(log.contains("account hold released"), "{log}");
    // No key is in Redis.
    let mut redis = stack.connection().await.unwrap();
    let access: Vec<String> = redis::cmd("HVALS")
        .arg(stack.broker.keys().account_access())
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!(access.is_empty(), "{access:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_address_ends_the_hold_while_workers_run() {
    let (stack, yaml) = stack().await;
    let _scheduler = stack.scheduler().unwrap();
    let _worker = stack.worker().unwrap();
    use_up_the_quota(&stack).await;
    let job = held_job(&stack).await;
    let access: String = redis::cmd("HGET")
        .arg(stack.broker.keys().account_access())
        .arg("only")
        .query_async(&mut stack.connection().await.unwrap())
        .await
        .unwrap();
    assert_eq!(access.len(), "only 12ab".len(), "{access}");
    stack
        .config_yaml(&yaml.replace("127.0.0.1", "localhost"))
        .unwrap();
    stack.successes(&[job]).await.unwrap();
    assert_eq!(held_accounts(&stack).await.unwrap(), 0);
}

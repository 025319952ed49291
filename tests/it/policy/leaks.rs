//! Workers are killed repeatedly while they hold slots of limits; no slot is lost.

use std::time::Duration;

use anyhow::ensure;
use longshore_tests::stack::{Options, Stack, eventually};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use redis::AsyncCommands as _;

use super::{
    JobCounts, Model, SimulatedProvider, config_yaml, keys_with_prefix, print_figures,
    provider_stats, size,
};

const SLOTS: u64 = 20;
const KEYED_SLOTS: u64 = 10;
const WORKERS: usize = 3;

/// What is held of any limit: slots of providers and of concurrency keys, and the attempts in flight, which
/// hold the rest.
async fn held_slots(stack: &Stack) -> anyhow::Result<Vec<(String, u64)>> {
    let mut connection = stack.connection().await?;
    let prefix = stack.broker.keys().prefix();
    let mut held = Vec::new();
    for kind in ["slots", "key"] {
        for key in keys_with_prefix(stack, &format!("{prefix}:{kind}:")).await? {
            let form: String = redis::cmd("TYPE")
                .arg(&key)
                .query_async(&mut connection)
                .await?;
            let holders: u64 = match form.as_str() {
                "hash" => connection.hlen(&key).await?,
                "zset" => connection.zcard(&key).await?,
                // Redis removes a key with its last element.
                "none" => 0,
                other => anyhow::bail!("{key} is a {other}"),
            };
            held.push((key, holders));
        }
    }
    let begun: u64 = connection.hlen(stack.broker.keys().inflight()).await?;
    held.push(("inflight".to_owned(), begun));
    held.retain(|(_, holders)| *holders > 0);
    Ok(held)
}

fn jobs(count: usize, prompt: &str, keyed: bool) -> Vec<String> {
    let key = if keyed {
        format!(r#","concurrency_key":"k","concurrency_limit":{KEYED_SLOTS}"#)
    } else {
        String::new()
    };
    (0..count)
        .map(|at| format!(r#"{{"prompt":"{prompt} {at}"{key}}}"#))
        .collect()
}

/// Asserts that as many calls as slots can be in flight at once.
async fn assert_all_slots_are_free(stack: &Stack, slots: u64, keyed: bool) {
    let count = usize::try_from(2 * slots).unwrap();
    let ids = stack
        .enqueue(&jobs(count, "[[latency=3000]] last", keyed))
        .await
        .unwrap();
    eventually("every slot is used", || async {
        let calls = provider_stats(stack, "a").in_flight;
        ensure!(calls == slots, "{calls} calls for {slots} slots");
        Ok(())
    })
    .await
    .unwrap();
    stack.outcomes(&ids).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_leak_no_slot() {
    let kills = size(20, 200);
    let env = [
        ("LONGSHORE_LIVENESS_HEARTBEAT_EVERY", "300ms"),
        ("LONGSHORE_LIVENESS_HEARTBEAT_TTL", "1s"),
        ("LONGSHORE_CONCURRENCY", "50"),
    ];
    let stack = Stack::start(Options {
        latency: Duration::from_millis(300),
        env: env
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    })
    .await
    .unwrap();
    let limits = format!("{{max_concurrent: {SLOTS}}}");
    let provider = SimulatedProvider::limited("a", Model::Cheap, &limits);
    stack
        .config_yaml(&config_yaml(&stack, &[provider], ""))
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let mut workers: Vec<_> = (0..WORKERS).map(|_| stack.worker().unwrap()).collect();
    let mut ids = Vec::new();
    let mut chance = StdRng::seed_from_u64(3);
    for kill in 0..kills {
        if JobCounts::read(&stack).await.unwrap().unfinished() < 200 {
            for keyed in [false, true] {
                ids.extend(stack.enqueue(&jobs(200, "load", keyed)).await.unwrap());
            }
        }
        // The kills are random on purpose; there is no condition to wait for.
        tokio::time::sleep(Duration::from_millis(chance.random_range(100..600))).await;
        let doomed = &mut workers[kill % WORKERS];
        doomed.kill().unwrap();
        *doomed = stack.worker().unwrap();
    }
    let outcomes = stack.outcomes(&ids).await.unwrap();
    let odd = outcomes
        .iter()
        .find(|one| !one.success && one.error_class.as_deref() != Some("poison"));
    assert!(odd.is_none(), "{odd:?}");
    let poisoned = outcomes.iter().filter(|one| !one.success).count();
    let peak = provider_stats(&stack, "a").peak_in_flight;
    print_figures(&format!(
        "{kills} kills, {} jobs, {poisoned} of them poisoned, {peak} calls at once",
        ids.len()
    ));
    assert!(peak <= SLOTS, "{peak} calls at once");

    eventually("nothing is held", || async {
        let held = held_slots(&stack).await?;
        ensure!(held.is_empty(), "{held:?}");
        Ok(())
    })
    .await
    .unwrap();
    assert_all_slots_are_free(&stack, SLOTS, false).await;
    assert_all_slots_are_free(&stack, KEYED_SLOTS, true).await;
    stack.books().await.unwrap().balance();
}

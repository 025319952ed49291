//! A tenant with a huge backlog does not delay the others.

use std::time::Duration;

use longshore_tests::stack::{Options, Stack};

use super::{JobCounts, Model, SimulatedProvider, alone, config_yaml, print_figures, size};

const WORKERS: usize = 4;
const TENANTS: usize = 100;
const EACH: usize = 10;

/// Ten jobs of each small tenant, one tenant after another.
fn small() -> Vec<String> {
    (0..TENANTS * EACH)
        .map(|at| format!(r#"{{"prompt":"job {at}","tenant":"small-{}"}}"#, at / EACH))
        .collect()
}

/// The 95th percentile of their time in the queue, in seconds.
async fn p95_wait(stack: &Stack, jobs: &[String]) -> f64 {
    let ids = stack.enqueue(jobs).await.unwrap();
    let outcomes = stack.successes(&ids).await.unwrap();
    let mut waits: Vec<u64> = outcomes.iter().map(|outcome| outcome.queued_ms).collect();
    waits.sort_unstable();
    let at = waits.len() * 95 / 100 - 1;
    Duration::from_millis(*waits.get(at).unwrap()).as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_tenant_does_not_delay_small_ones() {
    let _machine = alone().await;
    let backlog: u32 = size(20_000, 200_000);
    let stack = Stack::start(Options {
        latency: Duration::from_millis(20),
        env: vec![("LONGSHORE_CONCURRENCY".to_owned(), "50".to_owned())],
    })
    .await
    .unwrap();
    let provider = SimulatedProvider::unlimited("a", Model::Cheap);
    stack
        .config_yaml(&config_yaml(&stack, &[provider], ""))
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let _workers: Vec<_> = (0..WORKERS).map(|_| stack.worker().unwrap()).collect();
    // The first jobs include the start of the workers.
    p95_wait(&stack, &small()).await;
    let alone = p95_wait(&stack, &small()).await;

    let large: Vec<String> = (0..backlog)
        .map(|at| format!(r#"{{"prompt":"job {at}","tenant":"large"}}"#))
        .collect();
    stack.enqueue(&large).await.unwrap();
    let counts = JobCounts::read(&stack).await.unwrap();
    assert!(
        counts.unfinished() > u64::from(backlog) / 2,
        "there is a backlog: {counts:?}"
    );
    let beside = p95_wait(&stack, &small()).await;
    let left = JobCounts::read(&stack).await.unwrap();
    let (waiting, left_over) = (counts.unfinished(), left.unfinished());
    let figures = format!(
        "p95 of the small tenants' wait: {alone:.3} s alone, {beside:.3} s behind {waiting} jobs, of which {left_over} \
         were left"
    );
    print_figures(&figures);
    // In the order of the queue, none would be left. Those that ran meanwhile are the tenant's share, and what the
    // workers ran while they sorted the backlog by tenant.
    assert!(left_over > waiting / 2, "{figures}");
    assert_eq!(left.dead, 0);
}

/// Shares are proportional to weights: of two tenants with a backlog, the one of weight 3 gets three times as
/// much.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_share_by_weight() {
    let _machine = alone().await;
    let stack = Stack::start(Options {
        latency: Duration::from_millis(50),
        env: vec![("LONGSHORE_CONCURRENCY".to_owned(), "20".to_owned())],
    })
    .await
    .unwrap();
    let provider = SimulatedProvider::unlimited("a", Model::Cheap);
    let weights = "tenants: {acme: {weight: 3}}";
    stack
        .config_yaml(&config_yaml(&stack, &[provider], weights))
        .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let mut ids = Vec::new();
    for tenant in ["other", "acme"] {
        let jobs: Vec<String> = (0..1_000)
            .map(|at| format!(r#"{{"prompt":"job {at}","tenant":"{tenant}"}}"#))
            .collect();
        ids.push(stack.enqueue(&jobs).await.unwrap());
    }
    let _worker = stack.worker().unwrap();
    longshore_tests::stack::eventually("half of them have ended", || async {
        let (other, _) = super::count_ended(&stack, &ids[0]).await?;
        let (acme, _) = super::count_ended(&stack, &ids[1]).await?;
        anyhow::ensure!(other + acme >= 1_000, "{other} and {acme}");
        let figures = format!("acme, of weight 3, had {acme} jobs done, the other {other}");
        print_figures(&figures);
        // 750 and 250, except for jobs that were read before the other tenant's were seen.
        assert!(
            acme * 10 >= other * 24 && acme * 10 <= other * 36,
            "{figures}"
        );
        Ok(())
    })
    .await
    .unwrap();
}

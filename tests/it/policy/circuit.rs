//! Workers share what they learn of a provider.

use std::time::Duration;

use anyhow::ensure;
use longshore_protocol::state::JobState;
use longshore_simulator::Faults;
use longshore_tests::stack::{Options, Stack, eventually, prompts};

use super::{Model, SimulatedProvider, beside_few, config_yaml, print_figures, provider_stats};

/// A stack whose provider "a" answers every call with status 500.
async fn first_is_down(providers: &[SimulatedProvider], more: &str) -> Stack {
    let stack = Stack::start(Options {
        latency: Duration::from_millis(20),
        ..Options::default()
    })
    .await
    .unwrap();
    stack
        .config_yaml(&config_yaml(&stack, providers, more))
        .unwrap();
    let down = Faults {
        rate_500: 1.0,
        ..Faults::default()
    };
    stack.simulator.set_faults(Some("a"), down).unwrap();
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_worker_does_not_call_a_provider_whose_circuit_is_open() {
    let _machine = beside_few().await;
    let providers = [
        SimulatedProvider::unlimited("a", Model::Cheap),
        SimulatedProvider::unlimited("b", Model::Dear),
    ];
    let retry = "retry: {base_delay: 10ms, max_delay: 20ms, jitter: 0ms}";
    let stack = first_is_down(&providers, retry).await;
    let mut first = stack.worker().unwrap();
    let ids = stack.enqueue(&prompts(200)).await.unwrap();
    stack.successes(&ids).await.unwrap();
    eventually("jobs go straight to the other", || async {
        let before = provider_stats(&stack, "a").requests;
        let some = stack.enqueue(&prompts(10)).await?;
        stack.outcomes(&some).await?;
        let asked = provider_stats(&stack, "a").requests - before;
        ensure!(asked == 0, "{asked} calls for 10 jobs");
        Ok(())
    })
    .await
    .unwrap();
    first.kill().unwrap();

    let before = provider_stats(&stack, "a").requests;
    let _second = stack.worker().unwrap();
    let ids = stack.enqueue(&prompts(100)).await.unwrap();
    stack.successes(&ids).await.unwrap();
    let asked = provider_stats(&stack, "a").requests - before;
    print_figures(&format!(
        "a new worker called a provider that is down {asked} times for 100 jobs"
    ));
    // Now and then one job probes the provider.
    assert!(asked <= 5, "{asked} calls for 100 jobs");
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_tried_no_more_often_than_allowed_while_a_circuit_opens_and_closes() {
    let _machine = beside_few().await;
    let providers = [SimulatedProvider::unlimited("a", Model::Cheap)];
    let more = "retry: {max_retries: 3, base_delay: 10ms, max_delay: 20ms, jitter: 0ms}\n\
                circuit: {cooldown: 100ms, max_cooldown: 200ms}";
    let stack = first_is_down(&providers, more).await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let ids = stack.enqueue(&prompts(30)).await.unwrap();
    for outcome in stack.outcomes(&ids).await.unwrap() {
        assert_eq!(outcome.state, JobState::Discarded, "{outcome:?}");
        assert_eq!(outcome.attempts, 4, "{outcome:?}");
    }
    assert_eq!(provider_stats(&stack, "a").requests, 30 * 4);
}

//! How queues share a worker that reads several.

use longshore_protocol::id::{JobId, QueueName};
use longshore_tests::stack::{Options, Process, Stack, eventually, prompts};

/// A worker that reads these queues and runs `concurrency` jobs at once.
fn worker(stack: &mut Stack, queues: &str, order: &str, concurrency: usize) -> Process {
    stack.set_env("LONGSHORE_QUEUES", queues);
    stack.set_env("LONGSHORE_QUEUE_ORDER", order);
    stack.set_env("LONGSHORE_CONCURRENCY", &concurrency.to_string());
    stack.worker().unwrap()
}

async fn enqueue(stack: &Stack, queue: &str, jobs: usize) -> Vec<JobId> {
    let queue = QueueName::parse(queue).unwrap();
    let broker = &stack.broker;
    let entries = broker.queues().enqueue_all(&queue, &prompts(jobs)).await;
    entries.unwrap().iter().map(JobId::from_entry).collect()
}

/// The queues of all attempts, in the order in which these began.
async fn order_of_attempts(stack: &Stack) -> Vec<String> {
    stack.recorded().await.unwrap();
    let postgres = sqlx::PgPool::connect(&stack.database_url).await.unwrap();
    let order = "SELECT queue FROM attempts ORDER BY started_at, attempt_id";
    sqlx::query_scalar(order)
        .fetch_all(&postgres)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_queues_share_a_full_worker_by_their_weights() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let interactive = enqueue(&stack, "interactive", 1_000).await;
    let bulk = enqueue(&stack, "bulk", 400).await;
    let _worker = worker(&mut stack, "bulk,interactive=6", "weighted", 20);
    stack.successes(&interactive).await.unwrap();
    stack.successes(&bulk).await.unwrap();
    let order = order_of_attempts(&stack).await;
    assert_eq!(order.len(), 1_400);
    // Both have jobs until the 1,166th attempt. A seventh of 1,050 is 150, and 5 % of that is 7.
    let first = order.iter().take(1_050);
    let of_bulk = first.filter(|queue| *queue == "bulk").count();
    assert!((143..=157).contains(&of_bulk), "{of_bulk} of 1,050");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_strict_order_no_job_runs_before_one_of_an_earlier_queue() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let bulk = enqueue(&stack, "bulk", 300).await;
    enqueue(&stack, "interactive", 100).await;
    let slots = 4;
    let _worker = worker(&mut stack, "interactive,bulk", "strict", slots);
    eventually("jobs of the other queue run", || async {
        let done = stack.simulator.invoice().len();
        anyhow::ensure!(done > 150, "{done} calls");
        Ok(())
    })
    .await
    .unwrap();
    let late = enqueue(&stack, "interactive", 50).await;
    stack.successes(&late).await.unwrap();
    stack.successes(&bulk).await.unwrap();
    let order = order_of_attempts(&stack).await;
    assert_eq!(order.len(), 450);
    // One read fills the free slots: the last jobs of one queue, and the first of the next, begin in any order.
    let begins_with = |order: &[String], jobs: usize| {
        let (head, _) = order.split_at(jobs + slots);
        let of_others = head.iter().filter(|queue| *queue == "bulk").count();
        assert_eq!(of_others, slots, "{head:?}");
    };
    begins_with(&order, 100);
    let (_, rest) = order.split_at(100 + slots);
    let late_at = rest
        .iter()
        .position(|queue| queue == "interactive")
        .unwrap();
    let before = late_at.saturating_sub(slots);
    let (_, from_late) = rest.split_at(before);
    let head = from_late.iter().take(50 + 2 * slots);
    assert_eq!(
        head.filter(|queue| *queue == "interactive").count(),
        50,
        "{from_late:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_idle_leaves_the_worker_to_the_others() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let bulk = enqueue(&stack, "bulk", 200).await;
    let _worker = worker(&mut stack, "interactive=6,bulk", "weighted", 10);
    stack.successes(&bulk).await.unwrap();
    let late = enqueue(&stack, "interactive", 5).await;
    stack.successes(&late).await.unwrap();
    stack.recorded().await.unwrap();
    stack.books().await.unwrap().balance();
}

//! Promoting due jobs: how late they are, and how long it blocks Redis.

use std::time::Duration;

use anyhow::ensure;
use longshore_protocol::id::JobId;
use longshore_tests::stack::{Options, Stack, within};
use redis::{AsyncCommands as _, aio::MultiplexedConnection};

use super::{alone, print_figures, size};

/// The jobs that are due one after another; the others are due at once.
const SPREAD: usize = 1_000;

/// The time between two of them, in ms.
const APART: i64 = 10;

/// The time until the first is due (ms), in which all get their due times.
const LEAD: i64 = 3_000;

/// The longest that a script may block Redis (µs).
const MAX_BLOCKED_US: u64 = 10_000;

/// Enqueues delayed jobs, has a worker park them, and stops it.
async fn park_delayed(stack: &Stack, jobs: usize) -> Vec<JobId> {
    let mut worker = stack.worker().unwrap();
    let bodies: Vec<String> = (0..jobs)
        .map(|at| format!(r#"{{"prompt":"job {at}","delay":86400}}"#))
        .collect();
    let ids = stack.enqueue(&bodies).await.unwrap();
    within(
        Duration::from_mins(10),
        "all of them are parked",
        || async {
            let mut connection = stack.connection().await?;
            let waiting: usize = connection.zcard(stack.broker.keys().time_lane()).await?;
            ensure!(waiting == jobs, "{waiting} of {jobs}");
            Ok(())
        },
    )
    .await
    .unwrap();
    worker.stop(Duration::from_mins(1)).await.unwrap();
    ids
}

/// Changes the due times of parked jobs.
async fn set_due_times(stack: &Stack, jobs: &[(JobId, i64)]) {
    let mut connection = stack.connection().await.unwrap();
    for some in jobs.chunks(5_000) {
        let times: Vec<(i64, &str)> = some.iter().map(|(id, at)| (*at, id.as_str())).collect();
        let lane = stack.broker.keys().time_lane();
        let () = connection.zadd_multiple(lane, &times).await.unwrap();
    }
}

/// Waits until this many jobs left the lane and returns when each did, in order (ms, by the server's clock).
async fn wait_until_released(stack: &Stack, jobs: usize) -> Vec<i64> {
    let ready = longshore_protocol::id::QueueName::default().ready();
    let key = stack.broker.keys().queue(&ready);
    within(Duration::from_mins(2), "all are released", || async {
        let mut connection = stack.connection().await?;
        let came: usize = connection.xlen(&key).await?;
        ensure!(came == jobs, "{came} of {jobs}");
        Ok(())
    })
    .await
    .unwrap();
    let mut connection = stack.connection().await.unwrap();
    let (mut times, mut start) = (Vec::with_capacity(jobs), "-".to_owned());
    while times.len() < jobs {
        let page: redis::streams::StreamRangeReply = connection
            .xrange_count(&key, &start, "+", 1_000)
            .await
            .unwrap();
        let last = page.ids.last().expect("the page has entries");
        start = format!("({}", last.id);
        let ms = |id: &str| -> i64 { id.split_once('-').unwrap().0.parse().unwrap() };
        times.extend(page.ids.iter().map(|row| ms(&row.id)));
    }
    times
}

/// Makes Redis log slow commands from now on.
async fn log_slow_commands(connection: &mut MultiplexedConnection) {
    let () = redis::pipe()
        .cmd("CONFIG")
        .arg("SET")
        .arg("slowlog-log-slower-than")
        .arg(1_000)
        .ignore()
        .cmd("CONFIG")
        .arg("SET")
        .arg("slowlog-max-len")
        .arg(10_000)
        .ignore()
        .cmd("SLOWLOG")
        .arg("RESET")
        .ignore()
        .query_async(connection)
        .await
        .unwrap();
}

/// How long scripts blocked Redis since then: those of over 1 ms, in µs, the longest first.
async fn blocking_times(connection: &mut MultiplexedConnection) -> Vec<u64> {
    type Slow = (u64, u64, u64, Vec<String>, String, String);
    let mut command = redis::cmd("SLOWLOG");
    let slow: Vec<Slow> = command
        .arg("GET")
        .arg(-1)
        .query_async(connection)
        .await
        .unwrap();
    let scripts = slow
        .into_iter()
        .filter(|(.., words, _, _)| words.iter().any(|word| word.starts_with("EVAL")));
    let mut times: Vec<u64> = scripts.map(|(_, _, time, ..)| time).collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn due_jobs_are_promoted_on_time_and_a_burst_does_not_block_redis() {
    let _machine = alone().await;
    let stack = Stack::start(Options::default()).await.unwrap();
    let burst: usize = size(10_000, 100_000);
    let ids = park_delayed(&stack, burst + SPREAD).await;
    let (spread, burst) = ids.split_at(SPREAD);
    let _scheduler = stack.scheduler().unwrap();
    let mut connection = stack.connection().await.unwrap();

    let first = stack.broker.server().time_ms().await.unwrap() + LEAD;
    let times: Vec<(JobId, i64)> = spread
        .iter()
        .zip(0..)
        .map(|(id, at)| (id.clone(), first + at * APART))
        .collect();
    set_due_times(&stack, &times).await;
    let came_at = wait_until_released(&stack, SPREAD).await;
    let mut late: Vec<i64> = came_at
        .iter()
        .zip(&times)
        .map(|(at, (_, due))| at - due)
        .collect();
    late.sort_unstable();
    assert!(late[0] >= 0, "{} ms early", -late[0]);
    let (half, most) = (late[SPREAD / 2], late[SPREAD * 99 / 100]);
    print_figures(&format!(
        "{} jobs parked: due jobs are released {half} ms late (p50), {most} ms (p99)",
        burst.len()
    ));
    assert!(most < 100, "{most} ms late");

    let at = stack.broker.server().time_ms().await.unwrap() + LEAD;
    let times: Vec<(JobId, i64)> = burst.iter().map(|id| (id.clone(), at)).collect();
    set_due_times(&stack, &times).await;
    log_slow_commands(&mut connection).await;
    let came_at = wait_until_released(&stack, SPREAD + burst.len()).await;
    let blocked = blocking_times(&mut connection).await;
    let (first, last) = (came_at[SPREAD] - at, came_at[came_at.len() - 1] - at);
    let longest = blocked.first().copied().unwrap_or_default();
    print_figures(&format!(
        "{} jobs due at one moment: the first came {first} ms after it, the last {last} ms; a script blocked \
         Redis for {longest} µs at most, {} of them for over {MAX_BLOCKED_US} µs",
        burst.len(),
        blocked
            .iter()
            .filter(|time| **time > MAX_BLOCKED_US)
            .count()
    ));
    assert!(first >= 0, "{} ms early", -first);
    assert!(last < 5_000, "the last came {last} ms late");
    // A server that waits for a processor is blocked as well, so time alone says little. But of pages of equal size none
    // does a quarter of the work.
    let all: u64 = blocked.iter().sum();
    assert!(
        longest <= MAX_BLOCKED_US || longest * 4 <= all,
        "one of them too long: {blocked:?}"
    );

    let left: u64 = connection.hlen(stack.broker.keys().parked()).await.unwrap();
    assert_eq!(left, 0, "no job is left behind");
}

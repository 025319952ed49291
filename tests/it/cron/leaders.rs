//! Killed leaders and their successors.

use std::{collections::BTreeSet, time::Duration};

use anyhow::ensure;
use chrono::{DateTime, TimeDelta, Utc};
use longshore_broker::CronStatus;
use longshore_protocol::clock::local_time;
use longshore_tests::stack::{Options, Process, Stack, eventually, within};
use tokio::time::Instant;

use super::{beside_few, cron_state, leader, print_figures, queued, size, tick_of};

/// The longest time without a leader.
const TAKEOVER: Duration = Duration::from_secs(10);

/// The time from one kill to the next.
const PAUSE: Duration = Duration::from_secs(5);

async fn wait_for_leader(stack: &Stack) -> String {
    eventually("a scheduler leads", || async {
        leader(stack)
            .await
            .ok_or_else(|| anyhow::anyhow!("no leader"))
    })
    .await
    .unwrap()
}

/// The index of the leading scheduler, whose name contains its process id.
fn index_of(schedulers: &[Process], leader: &str) -> usize {
    let is_of = |scheduler: &Process| {
        let pid = scheduler.pid().to_string();
        leader.split('-').any(|part| part == pid)
    };
    schedulers.iter().position(is_of).unwrap()
}

/// Waits for another leader and returns how long that took.
async fn wait_for_new_leader(stack: &Stack, dead: &str) -> Duration {
    let began = Instant::now();
    within(TAKEOVER * 2, "another scheduler leads", || async {
        let leader = leader(stack).await;
        ensure!(
            leader.as_deref().is_some_and(|leader| leader != dead),
            "{leader:?}"
        );
        Ok(())
    })
    .await
    .unwrap();
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_scheduler_leads_soon_after_a_kill_and_at_once_after_a_stop() {
    let _machine = beside_few().await;
    let stack = Stack::start(Options::default()).await.unwrap();
    let mut schedulers: Vec<Process> = (0..3).map(|_| stack.scheduler().unwrap()).collect();
    let first = wait_for_leader(&stack).await;
    schedulers
        .remove(index_of(&schedulers, &first))
        .kill()
        .unwrap();
    let killed = wait_for_new_leader(&stack, &first).await;
    assert!(killed < TAKEOVER, "{killed:?}");

    let second = wait_for_leader(&stack).await;
    let mut stopped = schedulers.remove(index_of(&schedulers, &second));
    let (_, stopped) = tokio::join!(
        async { stopped.stop(Duration::from_secs(30)).await.unwrap() },
        wait_for_new_leader(&stack, &second)
    );
    // The process has to receive the signal first; the rest takes milliseconds.
    assert!(stopped < Duration::from_secs(3), "{stopped:?}");
    print_figures(&format!(
        "another scheduler led {killed:?} after a kill, {stopped:?} after a stop"
    ));
}

/// The ticks in a queue.
struct Ticks {
    ran: BTreeSet<DateTime<Utc>>,
    late: Vec<i64>,
}

impl Ticks {
    /// Reads the ticks of a queue; asserts that none is duplicate or early.
    async fn read(stack: &Stack, queue: &str) -> Self {
        let mut ticks = Self {
            ran: BTreeSet::new(),
            late: Vec::new(),
        };
        for (at, message) in queued(stack, queue).await {
            let tick = tick_of(&message);
            assert!(ticks.ran.insert(tick), "{tick} twice");
            let late = at - tick.timestamp_millis();
            assert!(late >= 0, "{tick} is {late} ms early");
            ticks.late.push(late);
        }
        ticks
    }

    /// Asserts that every tick from the first to the last either ran or is counted as skipped.
    fn assert_complete(&self, standing: &CronStatus, first: DateTime<Utc>) {
        let next = standing.next.unwrap();
        let all = u64::try_from((next - first).num_seconds()).unwrap();
        let ran = self.ran.len() as u64;
        assert_eq!(standing.ran, ran, "the queue has the ticks that ran");
        assert_eq!(ran + standing.skipped, all, "each ran or was skipped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tick_is_enqueued_once_however_often_the_leader_is_killed() {
    let _machine = beside_few().await;
    let stack = Stack::start(Options::default()).await.unwrap();
    for missed in ["skip", "once", "all"] {
        let arguments = [
            "cron", "add", missed, "--every", "1s", "--missed", missed, "--queue", missed, "-p",
            "tick",
        ];
        let ran = stack.longshore(&arguments).await.unwrap();
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    let first = async |name: &str| cron_state(&stack, name).await.unwrap().next.unwrap();
    let firsts = (first("skip").await, first("once").await, first("all").await);
    let mut schedulers: Vec<Process> = (0..3).map(|_| stack.scheduler().unwrap()).collect();
    let _worker = stack.worker().unwrap();
    let end = Instant::now() + size(Duration::from_secs(20), Duration::from_mins(2));
    let mut jobs = Vec::new();
    let (mut kills, mut longest) = (0, Duration::ZERO);
    while Instant::now() < end {
        for ms in 0..20 {
            let due = local_time() + TimeDelta::milliseconds(1000 + ms * 400);
            let text = due.to_rfc3339();
            let job = [("prompt", "due"), ("run_at", text.as_str())];
            jobs.push((stack.xadd(&job).await.unwrap(), due));
        }
        let leader = wait_for_leader(&stack).await;
        let index = index_of(&schedulers, &leader);
        schedulers.remove(index).kill().unwrap();
        schedulers.push(stack.scheduler().unwrap());
        kills += 1;
        let died = Instant::now();
        longest = longest.max(wait_for_new_leader(&stack, &leader).await);
        tokio::time::sleep_until(died + PAUSE).await;
    }
    let ids: Vec<_> = jobs.iter().map(|(id, _)| id.clone()).collect();
    let outcomes = stack.outcomes(&ids).await.unwrap();
    let now = DateTime::from_timestamp_millis(stack.broker.server().time_ms().await.unwrap());
    eventually("missed ticks are handled", || async {
        let next = cron_state(&stack, "all").await?.next;
        ensure!(next > now, "{next:?}");
        Ok(())
    })
    .await
    .unwrap();
    // No more ticks during the assertions.
    for scheduler in &mut schedulers {
        scheduler.kill().unwrap();
    }

    let skip = Ticks::read(&stack, "skip").await;
    let (skipped, once, all) = (
        cron_state(&stack, "skip").await.unwrap(),
        cron_state(&stack, "once").await.unwrap(),
        cron_state(&stack, "all").await.unwrap(),
    );
    skip.assert_complete(&skipped, firsts.0);
    Ticks::read(&stack, "once")
        .await
        .assert_complete(&once, firsts.1);
    Ticks::read(&stack, "all")
        .await
        .assert_complete(&all, firsts.2);
    assert_eq!(all.skipped, 0, "all of them run");
    assert!(once.skipped < skipped.skipped, "the last of each gap runs");
    let late = skip.late.iter().max().unwrap();
    assert!(*late < 3_000, "what is later was missed: {late} ms");
    let away = kills * (longest.as_secs() + 1);
    assert!(
        skipped.skipped <= away,
        "{} skipped, but there was no leader for {away} s at most",
        skipped.skipped
    );

    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.success && outcome.attempts == 1)
    );
    stack.recorded().await.unwrap();
    for (id, due) in &jobs {
        let job = stack.ledger.job(id).await.unwrap().unwrap().row.job;
        let late = job.started_at.unwrap() - *due;
        assert!(late >= TimeDelta::milliseconds(-1), "{id} is early: {late}");
    }
    let requests = stack.simulator.stats().requests;
    assert_eq!(requests, jobs.len() as u64, "each was called for once");
    print_figures(&format!(
        "{kills} kills, no leader for {longest:?} at most; {} of {} ticks ran, {} skipped, none twice; \
         of those the latest by {late} ms; {} due jobs ran once, none early",
        skip.ran.len(),
        skip.ran.len() as u64 + skipped.skipped,
        skipped.skipped,
        jobs.len()
    ));
}

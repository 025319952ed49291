//! A fleet that grows and shrinks under load as KEDA would have it with the chart's `ScaledObject`: no job is lost, none
//! is executed twice, and none is handed back more than once.
//!
//! `SCALE_JOBS` sets how many jobs are sent; `make scale` passes it.

mod autoscaler;
mod check;
mod witness;

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, ensure};
use longshore_protocol::id::{JobId, QueueName};
use longshore_tests::stack::{Options, Process, Stack};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use self::{
    autoscaler::{Autoscaler, Rules},
    check::Evidence,
    witness::Witness,
};
use crate::machine::{beside_few, print_figures};

/// Jobs of a run of which nothing is said.
const JOBS: usize = 1_500;
/// Jobs of a tooth.
const TOOTH: usize = 1_000;
/// How long it takes to send a tooth that rises: in the end, more is sent than all workers can answer.
const RISE: Duration = Duration::from_millis(3_500);
/// The same for one that falls: several times longer than the window after which the fleet shrinks, so that workers stop
/// under load.
const FALL: Duration = Duration::from_secs(8);
/// How often a producer sends what is due.
const SEND_EVERY: Duration = Duration::from_millis(20);

const CONCURRENCY: usize = 20;
const MIN_WORKERS: usize = 1;
const MAX_WORKERS: usize = 8;

/// How long nothing may change while jobs are left.
const STUCK: Duration = Duration::from_mins(1);

/// Outcomes and replies stay until the check, however long the run is.
const CONFIG: &str = "retention: { results: 1d, unrequested_results: 1d }\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_job_runs_once_while_the_fleet_grows_and_shrinks() {
    let _machine = beside_few().await;
    let jobs = wanted_jobs().unwrap();
    let mut stack = start().await.unwrap();
    let run = run(&stack, jobs).await;
    let broken = match &run {
        Ok((figures, evidence)) => {
            print_figures(&format!("{figures}\n{}", evidence.figures()));
            let mut breaches = evidence.breaches();
            if figures.peak < MAX_WORKERS {
                breaches.push(format!(
                    "the load needs {MAX_WORKERS} workers, and there were {}",
                    figures.peak
                ));
            }
            breaches.truncate(20);
            breaches
        }
        Err(error) => vec![format!("{error:#}")],
    };
    assert!(
        broken.is_empty(),
        "{broken:#?}\nkept: {}",
        stack.keep().display()
    );
}

fn wanted_jobs() -> anyhow::Result<usize> {
    let wanted = std::env::vars().find(|(name, value)| name == "SCALE_JOBS" && !value.is_empty());
    wanted.map_or(Ok(JOBS), |(_, text)| {
        let wrong = || format!("SCALE_JOBS={text} is not a whole number");
        text.parse().with_context(wrong)
    })
}

async fn start() -> anyhow::Result<Stack> {
    let mut stack = Stack::start(Options::default()).await?;
    stack.write("longshore.yaml", CONFIG)?;
    stack.set_env("LONGSHORE_CONCURRENCY", &CONCURRENCY.to_string());
    Ok(stack)
}

/// Sends the load while the autoscaler follows it, and collects what came of it.
async fn run(stack: &Stack, jobs: usize) -> anyhow::Result<(Figures, Evidence)> {
    let _scheduler = stack.scheduler()?;
    let witness = Witness::watch(stack).await?;
    let rules = Rules::of_chart(CONCURRENCY, MIN_WORKERS, MAX_WORKERS)?;
    let (workers, follow) = watch::channel(MIN_WORKERS);
    let (all_sent, is_sent) = watch::channel(false);
    let load = async {
        let sent = send(stack, jobs, follow).await?;
        all_sent.send_replace(true);
        anyhow::Ok(sent)
    };
    let mut fleet = Fleet::new(stack);
    let (sent, ()) = tokio::try_join!(load, fleet.follow(rules, &workers, &is_sent))?;
    fleet.scale_to(0)?;
    fleet.drained().await?;
    let hand_backs = witness.finish(stack).await?;
    let evidence = Evidence::collect(stack, sent, hand_backs).await?;
    Ok((fleet.figures, evidence))
}

/// What happened to the fleet.
#[derive(Debug)]
struct Figures {
    began: Instant,
    started: usize,
    stopped: usize,
    peak: usize,
    /// The most jobs in both streams.
    most_jobs: u64,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.0?}: {} workers started, {} stopped by SIGTERM, at most {} at a time; at most {} jobs waiting or in flight",
            self.began.elapsed(),
            self.started,
            self.stopped,
            self.peak,
            self.most_jobs
        )
    }
}

/// The workers.
struct Fleet<'s> {
    stack: &'s Stack,
    running: Vec<Process>,
    draining: JoinSet<anyhow::Result<()>>,
    random: StdRng,
    figures: Figures,
}

impl<'s> Fleet<'s> {
    fn new(stack: &'s Stack) -> Self {
        Self {
            stack,
            running: Vec::new(),
            draining: JoinSet::new(),
            random: StdRng::seed_from_u64(16),
            figures: Figures {
                began: Instant::now(),
                started: 0,
                stopped: 0,
                peak: 0,
                most_jobs: 0,
            },
        }
    }

    /// Scales until everything is sent, nothing is left, and the fleet has its least size.
    async fn follow(
        &mut self,
        rules: Rules,
        workers: &watch::Sender<usize>,
        is_sent: &watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let mut connection = self.stack.connection().await?;
        let mut poll = interval(rules.polling_interval);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let least = rules.min;
        let mut autoscaler = Autoscaler::new(rules);
        self.scale_to(least)?;
        let (mut before, mut changed) = ((0, 0, 0), Instant::now());
        loop {
            poll.tick().await;
            let jobs = queued(self.stack, &mut connection).await?;
            let next = autoscaler.replicas(Instant::now(), self.running.len(), jobs);
            self.scale_to(next)?;
            workers.send_replace(next);
            self.figures.most_jobs = self.figures.most_jobs.max(jobs);
            while let Some(stopped) = self.draining.try_join_next() {
                stopped??;
            }
            if *is_sent.borrow() && jobs == 0 && next == least {
                return Ok(());
            }
            let now = (jobs, next, self.stack.simulator.stats().requests);
            if now != before {
                (before, changed) = (now, Instant::now());
            }
            ensure!(
                changed.elapsed() < STUCK,
                "nothing happens: {jobs} jobs waiting or in flight, {next} workers"
            );
        }
    }

    /// Starts workers, or stops some, which are chosen at random as Kubernetes may do.
    fn scale_to(&mut self, count: usize) -> anyhow::Result<()> {
        while self.running.len() < count {
            self.running.push(self.stack.worker()?);
            self.figures.started += 1;
        }
        while self.running.len() > count {
            let victim = self.random.random_range(..self.running.len());
            let victim = self.running.swap_remove(victim);
            self.draining.spawn(victim.shut_down());
            self.figures.stopped += 1;
        }
        self.figures.peak = self.figures.peak.max(count);
        Ok(())
    }

    /// Waits until every worker that was told to stop has stopped in order.
    async fn drained(&mut self) -> anyhow::Result<()> {
        while let Some(stopped) = self.draining.join_next().await {
            stopped??;
        }
        Ok(())
    }
}

/// Jobs that wait or run, as the chart's `ScaledObject` counts them: the lengths of both streams of the queue.
async fn queued(
    stack: &Stack,
    connection: &mut redis::aio::MultiplexedConnection,
) -> anyhow::Result<u64> {
    let (keys, queue) = (stack.broker.keys(), QueueName::default());
    let mut pipe = redis::pipe();
    pipe.xlen(keys.queue(&queue))
        .xlen(keys.queue(&queue.ready()));
    let (new, released): (u64, u64) = pipe.query_async(connection).await?;
    Ok(new + released)
}

/// Sends jobs in teeth, whose rates fall and rise in turn. Each tooth begins when the fleet has shrunk: to its least size,
/// or while it still shrinks.
async fn send(
    stack: &Stack,
    jobs: usize,
    mut workers: watch::Receiver<usize>,
) -> anyhow::Result<Vec<JobId>> {
    let mut sent = Vec::with_capacity(jobs);
    for tooth in 0..jobs.div_ceil(TOOTH) {
        let shrunk_to = MIN_WORKERS + tooth % 3 * 2;
        workers.wait_for(|count| *count <= shrunk_to).await?;
        let count = TOOTH.min(jobs - sent.len());
        sent.extend(send_tooth(stack, sent.len(), count, tooth % 2 == 0).await?);
    }
    Ok(sent)
}

async fn send_tooth(
    stack: &Stack,
    first: usize,
    count: usize,
    is_falling: bool,
) -> anyhow::Result<Vec<JobId>> {
    let begin = Instant::now();
    let length = if is_falling { FALL } else { RISE };
    let mut sent = Vec::with_capacity(count);
    let mut wake = begin;
    while sent.len() < count {
        wake += SEND_EVERY;
        sleep_until(wake).await;
        let passed = begin.elapsed().div_duration_f64(length).min(1.0);
        let share = if is_falling {
            1.0 - (1.0 - passed).powi(2)
        } else {
            passed.powi(2)
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "thousands of jobs"
        )]
        let due = (count as f64 * share).round() as usize;
        let due: Vec<String> = (sent.len()..due).map(|at| job(first + at)).collect();
        sent.extend(stack.enqueue(&due).await?);
    }
    Ok(sent)
}

/// A job whose call takes 0.5 to 1.2 s, and whose end pushes a reply.
fn job(number: usize) -> String {
    let latency = 500 + number * 37 % 700;
    let mut job = String::new();
    write!(
        job,
        r#"{{"prompt":"job {number} [[latency={latency}]]","reply":true}}"#
    )
    .unwrap();
    job
}

//! One system with servers of its own, for one measurement.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use longshore_local::ChildProcess;
use longshore_protocol::id::QueueName;
use redis::AsyncCommands as _;
use sqlx::Connection as _;

use super::{
    System,
    catalog::{Peer, Workers},
};
use crate::{
    bench::{
        drain::Watch,
        journal::{Journal, nanoseconds},
        machine::{ExternalSimulator, Machine, noop_worker, spawn_real_worker},
        micros_each,
        noop::stamped_message,
        process::{self, Others, Usage},
        throughput::CONCURRENCY,
    },
    stack::{Process, Stack},
};

/// How often progress is looked at.
const EVERY: Duration = Duration::from_millis(4);

/// A system that finishes nothing for this long has failed.
const TIMEOUT: Duration = Duration::from_mins(1);

/// What the jobs of a trial do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// Nothing.
    Nothing,
    /// Wait for a provider that takes this long, so many at once if the system can.
    Wait { latency: Duration, at_once: usize },
}

/// A system with its servers and workers.
pub(super) struct Trial<'m> {
    machine: &'m Machine,
    pub(super) system: &'m System,
    stack: Stack,
    pub(super) simulator: Option<ExternalSimulator>,
    pub(super) journal: Journal,
    watch: Watch,
    workers: Vec<ChildProcess>,
    /// Longshore's scheduler, which returns the jobs of dead workers.
    _scheduler: Option<Process>,
    pub(super) jobs: usize,
    /// When Longshore's worker first read jobs, and when all had ended.
    began: Option<u64>,
    ended: Option<u64>,
    servers_before: Duration,
    others: Others,
}

impl<'m> Trial<'m> {
    /// Starts the servers, and the provider if jobs call one.
    pub(super) async fn start(
        machine: &'m Machine,
        system: &'m System,
        work: Work,
        jobs: usize,
    ) -> anyhow::Result<Self> {
        let slots = match work {
            Work::Nothing => CONCURRENCY,
            Work::Wait { at_once, .. } => at_once,
        };
        let stack = machine.stack(slots).await?;
        let simulator = match work {
            Work::Nothing => None,
            Work::Wait { latency, .. } => Some(ExternalSimulator::start(&stack, latency).await?),
        };
        let scheduler = match system {
            System::Longshore => Some(stack.scheduler()?),
            System::Peer { .. } => None,
        };
        Ok(Self {
            machine,
            system,
            simulator,
            journal: Journal::at(stack.dir().join("journal")),
            watch: Watch::new(&stack).await?,
            stack,
            workers: Vec::new(),
            _scheduler: scheduler,
            jobs,
            began: None,
            ended: None,
            servers_before: Duration::ZERO,
            others: Others::now()?,
        })
    }

    /// Enqueues all jobs, in one go or at a steady rate.
    pub(super) async fn enqueue(&self, per_second: Option<u32>) -> anyhow::Result<()> {
        match self.system {
            System::Longshore => self.enqueue_messages(per_second).await,
            System::Peer { peer, dir, .. } => {
                let count = self.jobs.to_string();
                let rate = per_second.map(|rate| rate.to_string());
                let arguments: Vec<&str> = [Some(count.as_str()), rate.as_deref()]
                    .into_iter()
                    .flatten()
                    .collect();
                self.run(peer, dir, &arguments).await
            }
        }
    }

    /// Enqueues nothing, which makes tables and groups, so that workers of peers find them.
    pub(super) async fn prepare(&self) -> anyhow::Result<()> {
        match self.system {
            System::Longshore => Ok(()),
            System::Peer { peer, dir, .. } => self.run(peer, dir, &["0"]).await,
        }
    }

    async fn run(&self, peer: &Peer, dir: &Path, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = self.command(peer.enqueue, dir)?;
        command.args(arguments);
        let output = tokio::process::Command::from(command).output().await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.lines().rfind(|line| !line.trim().is_empty());
        ensure!(
            output.status.success(),
            "enqueueing failed: {}",
            last.unwrap_or_default()
        );
        Ok(())
    }

    async fn enqueue_messages(&self, per_second: Option<u32>) -> anyhow::Result<()> {
        let Some(rate) = per_second else {
            let messages: Vec<String> = (0..self.jobs).map(stamped_message).collect();
            self.stack.enqueue(&messages).await?;
            return Ok(());
        };
        let mut connection = self.stack.connection().await?;
        let queue = self.stack.broker.keys().queue(&QueueName::default());
        let mut beat = tokio::time::interval(Duration::from_secs(1) / rate);
        for number in 0..self.jobs {
            beat.tick().await;
            connection
                .xadd::<_, _, _, _, ()>(&queue, "*", &[("job", stamped_message(number))])
                .await?;
        }
        Ok(())
    }

    /// Starts the system's workers. What they and the servers use counts from now on.
    pub(super) fn start_workers(&mut self) -> anyhow::Result<()> {
        self.servers_before = self.servers()?;
        self.others = Others::now()?;
        self.workers = match (self.system, &self.simulator) {
            (System::Longshore, None) => vec![noop_worker(&self.stack, Some(self.journal.path()))?],
            (System::Longshore, Some(simulator)) => {
                vec![spawn_real_worker(&self.stack, simulator, None)?]
            }
            (System::Peer { peer, dir, .. }, _) => self.start_peer(peer, dir)?,
        };
        Ok(())
    }

    fn start_peer(&self, peer: &Peer, dir: &Path) -> anyhow::Result<Vec<ChildProcess>> {
        let Workers { processes, slots } = match self.simulator {
            None => peer.short,
            Some(_) => peer.waiting,
        };
        let mut workers = Vec::new();
        for number in 0..processes {
            let mut command = self.command(peer.worker, dir)?;
            command.env("PEER_CONCURRENCY", slots.to_string());
            let log = self.stack.dir().join(format!("{}-{number}.log", peer.name));
            workers.push(ChildProcess::spawn(peer.name, command, &log)?);
        }
        Ok(workers)
    }

    /// A command of a peer, whose environment names only this trial's servers.
    fn command(&self, words: &[&str], dir: &Path) -> anyhow::Result<Command> {
        let (program, arguments) = words.split_first().context("an empty command")?;
        let mut command = if program.contains('/') {
            Command::new(dir.join(program))
        } else {
            Command::new(program)
        };
        command
            .args(arguments)
            .current_dir(dir)
            .env_clear()
            .envs(self.stack.env())
            .env("PEER_JOURNAL", self.journal.path());
        if let Some(simulator) = &self.simulator {
            let path = "openai/v1/chat/completions";
            command.env("PEER_PROVIDER", format!("{}/{path}", simulator.url));
        }
        Ok(command)
    }

    /// Waits until the workers have started and do nothing any more.
    pub(super) async fn until_idle(&self) -> anyhow::Result<()> {
        let mut before = self.usage()?.cpu;
        let began = Instant::now();
        while began.elapsed() < TIMEOUT {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.usage()?.cpu;
            // A program that has just been started has used little as well.
            if now.saturating_sub(before) <= Duration::from_millis(20)
                && began.elapsed() > Duration::from_secs(2)
            {
                return Ok(());
            }
            before = now;
        }
        bail!("the workers are still busy without a job")
    }

    /// How many jobs have ended. Longshore's last job ends when Postgres has the record of all.
    pub(super) async fn finished(&mut self) -> anyhow::Result<usize> {
        if let System::Peer { .. } = self.system {
            self.journal.read()?;
            return Ok(self.journal.jobs().0);
        }
        let sample = self.watch.sample().await?;
        let now = nanoseconds();
        if sample.read > 0 {
            self.began.get_or_insert(now);
        }
        let open = sample.queued.max(usize::from(sample.facts > 0));
        if open == 0 {
            self.ended.get_or_insert(now);
            self.journal.read()?;
        }
        Ok(self.jobs.saturating_sub(open))
    }

    /// Waits until all jobs have ended; fails when a worker ends, or none of them for a minute.
    pub(super) async fn until_finished(&mut self) -> anyhow::Result<()> {
        let mut changed = (Instant::now(), 0);
        loop {
            let finished = self.finished().await?;
            if finished >= self.jobs {
                return Ok(());
            }
            if finished != changed.1 {
                changed = (Instant::now(), finished);
            }
            ensure!(
                changed.0.elapsed() < TIMEOUT,
                "{finished} of {} jobs ended, and none for {TIMEOUT:?}; {}",
                self.jobs,
                self.workers
                    .first()
                    .map(ChildProcess::log_tail)
                    .unwrap_or_default()
            );
            self.expect_workers()?;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Fails if a worker has ended.
    pub(super) fn expect_workers(&mut self) -> anyhow::Result<()> {
        for worker in &mut self.workers {
            if let Some(status) = worker.try_wait()? {
                return Err(worker.exited(status).into());
            }
        }
        Ok(())
    }

    /// When the first job ran and when the last ended, in nanoseconds. Where Longshore writes no journal, its first read
    /// counts, which is a little earlier.
    pub(super) fn span(&self) -> anyhow::Result<(u64, u64)> {
        let times = || self.journal.runs.iter().map(|run| run.ran);
        match self.system {
            System::Longshore => times().min().or(self.began).zip(self.ended),
            System::Peer { .. } => times().min().zip(times().max()),
        }
        .context("no job ran")
    }

    /// Kills all workers.
    pub(super) fn kill_workers(&mut self) -> anyhow::Result<()> {
        for mut worker in self.workers.drain(..) {
            worker.kill()?;
        }
        Ok(())
    }

    /// What the workers have used.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        let mut sum = Usage::default();
        for worker in &self.workers {
            let usage = process::usage_of_group(worker.pid())?;
            sum.cpu += usage.cpu;
            sum.peak_mib += usage.peak_mib;
        }
        Ok(sum)
    }

    /// What a job has cost the workers and the servers in processor time, in microseconds, and the workers' memory in
    /// MiB.
    pub(super) fn costs(&self) -> anyhow::Result<[Option<f64>; 3]> {
        let usage = self.usage()?;
        let servers = self.servers()?.saturating_sub(self.servers_before);
        let each = |time: Duration| micros_each(time, self.jobs);
        Ok([each(usage.cpu), each(servers), usage.peak_mib].map(Some))
    }

    fn servers(&self) -> anyhow::Result<Duration> {
        let redis = process::cpu(self.stack.redis.pid())?;
        Ok(redis + process::cpu_of_family(self.machine.postgres_pid())?)
    }

    /// The share of the machine that other programs used since the workers started.
    pub(super) fn others(&self) -> anyhow::Result<f64> {
        self.others.share()
    }

    /// How many of Longshore's jobs completed, and how many of them more than once.
    pub(super) async fn completed(&self) -> anyhow::Result<(usize, usize)> {
        let mut connection = sqlx::PgConnection::connect(&self.stack.database_url).await?;
        let (jobs, twice): (i64, i64) = sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE times > 1) FROM (
                 SELECT count(*) AS times FROM attempts WHERE outcome = 'completed' GROUP BY job_id
             ) AS jobs",
        )
        .fetch_one(&mut connection)
        .await?;
        Ok((jobs.try_into()?, twice.try_into()?))
    }
}

//! The processes of a run, and how each fault befalls them.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail, ensure};
use longshore_broker::ServerMemory;
use longshore_local::Signal;
use longshore_tests::stack::{Options, OwnPostgres, Process, Stack, eventually};

use super::{
    clocks,
    deaths::{Deaths, WorkerJobs},
    plan::{CLOCK_OFFSETS, Fault, FaultKind},
};
use crate::machine::print_figures;

/// Longer than a heartbeat lives, is missed, and its worker's entries are recovered.
const WORKER_STALL: Duration = Duration::from_secs(6);

/// Longer than the lease of a leading scheduler.
const SCHEDULER_STALL: Duration = Duration::from_secs(4);

const REDIS_STALL: Duration = Duration::from_secs(15);
const REDIS_FULL: Duration = Duration::from_secs(4);
const POSTGRES_AWAY: Duration = Duration::from_secs(3);

/// How long a drained worker may take: its calls take some seconds, and Postgres may be away.
const DRAIN: Duration = Duration::from_mins(1);

/// Milliseconds since 1970, as on the provider's bills.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A part of the append-only file that is lost: what Redis wrote from `from_ms` to `to_ms`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
}

struct Member {
    process: Process,
    stalled: Option<Instant>,
}

impl Member {
    fn new(process: Process) -> Self {
        Self {
            process,
            stalled: None,
        }
    }
}

/// A stack with workers and schedulers that break on request.
pub(crate) struct Fleet {
    pub(crate) stack: Stack,
    postgres: Option<OwnPostgres>,
    postgres_left: Option<Instant>,
    workers: Vec<Member>,
    schedulers: Vec<Member>,
    /// Workers that drain, and since when.
    leaving: Vec<(Process, Instant)>,
    deaths: Deaths,
    /// When workers were killed, or were found to have drained (ms since 1970).
    pub(super) worker_ends: Vec<u64>,
    /// What the append-only file has lost.
    pub(super) losses: Vec<Loss>,
    /// Injected faults, by kind.
    pub(super) injected: BTreeMap<FaultKind, u32>,
    /// Faults that were not injected, because a job would not have survived them.
    pub(super) withheld: u32,
    log: std::fs::File,
    began: Instant,
}

/// The options of a stack whose processes notice deaths within seconds.
pub(crate) fn options(latency: Duration) -> Options {
    let env = [
        ("LONGSHORE_LIVENESS_HEARTBEAT_EVERY", "500ms"),
        ("LONGSHORE_LIVENESS_HEARTBEAT_TTL", "2s"),
        ("LONGSHORE_CONCURRENCY", "20"),
    ];
    Options {
        latency,
        env: env
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    }
}

impl Fleet {
    /// Starts workers and schedulers. Without a Postgres of its own, Postgres stays.
    pub(crate) async fn start(
        stack: Stack,
        postgres: Option<OwnPostgres>,
        workers: usize,
        schedulers: usize,
    ) -> anyhow::Result<Self> {
        stack.acknowledge_only_durable_writes().await?;
        let log = std::fs::File::create(stack.dir().join("chaos.log"))?;
        let worker = |_| Ok::<_, anyhow::Error>(Member::new(stack.worker()?));
        let scheduler = |_| Ok::<_, anyhow::Error>(Member::new(stack.scheduler()?));
        Ok(Self {
            workers: (0..workers).map(worker).collect::<Result<_, _>>()?,
            schedulers: (0..schedulers).map(scheduler).collect::<Result<_, _>>()?,
            stack,
            postgres,
            postgres_left: None,
            leaving: Vec::new(),
            deaths: Deaths::default(),
            worker_ends: Vec::new(),
            losses: Vec::new(),
            injected: BTreeMap::new(),
            withheld: 0,
            log,
            began: Instant::now(),
        })
    }

    /// Injects a fault, or ends one.
    pub(crate) async fn inject(&mut self, fault: Fault) -> anyhow::Result<()> {
        let (kind, member, begins) = match fault {
            Fault::Begins(kind, member) => (kind, member, true),
            Fault::Ends(kind, member) => (kind, member, false),
        };
        let redis = &mut self.stack.redis;
        let ended = redis.try_wait()?;
        ensure!(
            ended.is_none(),
            "Redis ended by itself: {}",
            redis.log().display()
        );
        let what = if begins { "" } else { " ends" };
        self.note(&format!("{} {member}{what}", kind.name()))?;
        if !begins {
            return self.end(kind, member).await;
        }
        if self
            .begin(kind, member)
            .await
            .with_context(|| kind.name())?
        {
            *self.injected.entry(kind).or_default() += 1;
        } else {
            self.note("  withheld")?;
            self.withheld += 1;
        }
        self.reap()
    }

    /// Ends every fault, and waits for the workers that drain.
    pub(crate) async fn restore(&mut self) -> anyhow::Result<()> {
        self.note("all faults end")?;
        for member in 0..self.workers.len() {
            self.end(FaultKind::WorkerStalled, member).await?;
        }
        for member in 0..self.schedulers.len() {
            self.end(FaultKind::SchedulerStalled, member).await?;
        }
        self.end(FaultKind::PostgresAway, 0).await?;
        clocks::set(self.stack.dir(), 0)?;
        self.memory().await?;
        while !self.leaving.is_empty() {
            self.reap()?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Stops all processes in order.
    pub(super) async fn shut_down(&mut self) -> anyhow::Result<()> {
        for member in self.workers.drain(..).chain(self.schedulers.drain(..)) {
            let log = member.process.log().to_owned();
            let stopped = member.process.shut_down().await;
            stopped.with_context(|| log.display().to_string())?;
        }
        Ok(())
    }

    /// Keeps logs and data; returns where they are.
    pub(super) fn keep(&mut self) -> Vec<PathBuf> {
        let mut kept = vec![self.stack.keep().to_owned()];
        let postgres = self.postgres.iter_mut().flat_map(OwnPostgres::keep);
        kept.extend(postgres.map(ToOwned::to_owned));
        kept
    }

    /// Writes a line to the log of the run.
    pub(super) fn note(&mut self, text: &str) -> anyhow::Result<()> {
        let line = format!(
            "{:8.2} {} {text}",
            self.began.elapsed().as_secs_f64(),
            now_ms()
        );
        print_figures(&line);
        Ok(writeln!(self.log, "{line}")?)
    }

    /// False: a job would not survive it, nothing is done.
    async fn begin(&mut self, kind: FaultKind, member: usize) -> anyhow::Result<bool> {
        match kind {
            FaultKind::WorkerKilled => return self.kill_worker(member).await,
            FaultKind::WorkerDrained => return self.drain_worker(member),
            FaultKind::WorkerStalled => return self.stall_worker(member).await,
            FaultKind::SchedulerKilled => {
                let next = self.stack.scheduler()?;
                let mut old = std::mem::replace(self.scheduler(member)?, Member::new(next));
                old.process.kill()?;
            }
            FaultKind::SchedulerStalled => {
                let scheduler = self.scheduler(member)?;
                scheduler.process.signal(Signal::SIGSTOP)?;
                scheduler.stalled = Some(Instant::now());
            }
            FaultKind::RedisKilled => {
                self.stack.redis.kill()?;
                self.restart_redis().await?;
            }
            FaultKind::RedisStalled => {
                self.stack.redis.signal(Signal::SIGSTOP)?;
                tokio::time::sleep(REDIS_STALL).await;
                self.stack.redis.signal(Signal::SIGCONT)?;
            }
            FaultKind::RedisFull => self.fill_redis().await?,
            FaultKind::RedisRolledBack => return self.roll_redis_back().await,
            FaultKind::PostgresAway => {
                let postgres = self.postgres.as_mut();
                postgres.context("Postgres is shared")?.stop().await?;
                self.postgres_left = Some(Instant::now());
            }
            FaultKind::ScriptsFlushed => self.command(&["SCRIPT", "FLUSH"]).await?,
            FaultKind::ClocksStepped => {
                let offset = CLOCK_OFFSETS
                    .get(member)
                    .context("there is no such offset")?;
                clocks::set(self.stack.dir(), *offset)?;
            }
            FaultKind::ConnectionsCut => {
                for kind in ["normal", "pubsub"] {
                    self.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"])
                        .await?;
                }
            }
        }
        Ok(true)
    }

    async fn end(&mut self, kind: FaultKind, member: usize) -> anyhow::Result<()> {
        match kind {
            FaultKind::WorkerStalled => resume(self.worker(member)?, WORKER_STALL).await,
            FaultKind::SchedulerStalled => resume(self.scheduler(member)?, SCHEDULER_STALL).await,
            FaultKind::PostgresAway => {
                if let (Some(left), Some(postgres)) =
                    (self.postgres_left.take(), &mut self.postgres)
                {
                    tokio::time::sleep(POSTGRES_AWAY.saturating_sub(left.elapsed())).await;
                    postgres.restart().await?;
                }
                Ok(())
            }
            _ => bail!("{} has no end of its own", kind.name()),
        }
    }

    fn worker(&mut self, member: usize) -> anyhow::Result<&mut Member> {
        self.workers
            .get_mut(member)
            .context("there is no such worker")
    }

    fn scheduler(&mut self, member: usize) -> anyhow::Result<&mut Member> {
        self.schedulers
            .get_mut(member)
            .context("there is no such scheduler")
    }

    async fn kill_worker(&mut self, member: usize) -> anyhow::Result<bool> {
        if !self.stop_if_survived(member).await? {
            return Ok(false);
        }
        let next = self.stack.worker()?;
        let mut old = std::mem::replace(self.worker(member)?, Member::new(next));
        old.process.kill()?;
        self.worker_ends.push(now_ms());
        Ok(true)
    }

    async fn stall_worker(&mut self, member: usize) -> anyhow::Result<bool> {
        if self.worker(member)?.stalled.is_some() || !self.stop_if_survived(member).await? {
            return Ok(false);
        }
        self.worker(member)?.stalled = Some(Instant::now());
        Ok(true)
    }

    fn drain_worker(&mut self, member: usize) -> anyhow::Result<bool> {
        if self.worker(member)?.stalled.is_some() {
            return Ok(false);
        }
        let next = self.stack.worker()?;
        let mut old = std::mem::replace(self.worker(member)?, Member::new(next));
        old.process.signal(Signal::SIGTERM)?;
        self.leaving.push((old.process, Instant::now()));
        Ok(true)
    }

    /// Takes the workers that have drained off the list.
    fn reap(&mut self) -> anyhow::Result<()> {
        let mut left = Vec::new();
        for (mut process, since) in self.leaving.drain(..) {
            let log = process.log().display().to_string();
            if let Some(status) = process.try_wait()? {
                ensure!(
                    status.success(),
                    "a drained worker ended with {status}: {log}"
                );
                self.worker_ends.push(now_ms());
                continue;
            }
            ensure!(
                since.elapsed() < DRAIN,
                "a worker has not drained within {DRAIN:?}: {log}"
            );
            left.push((process, since));
        }
        self.leaving = left;
        Ok(())
    }

    /// Stops a worker with SIGSTOP and counts its death for the jobs that it has; lets it go on, and returns false, if
    /// one of them would not survive that.
    async fn stop_if_survived(&mut self, member: usize) -> anyhow::Result<bool> {
        let worker = self.worker(member)?;
        // Its death has been counted when it stalled.
        if worker.stalled.is_some() {
            return Ok(true);
        }
        worker.process.signal(Signal::SIGSTOP)?;
        let pid = worker.process.pid();
        let jobs = eventually("Redis tells what the worker has", || {
            WorkerJobs::read(&self.stack, pid)
        })
        .await?;
        if !self.deaths.all_survive(&jobs) {
            self.worker(member)?.process.signal(Signal::SIGCONT)?;
            return Ok(false);
        }
        self.deaths.count(jobs);
        Ok(true)
    }

    async fn command(&self, words: &[&str]) -> anyhow::Result<()> {
        let (name, arguments) = words.split_first().context("a command has a name")?;
        let mut command = redis::cmd(name);
        command.arg(arguments);
        let mut connection = self.stack.connection().await?;
        let _reply: redis::Value = command.query_async(&mut connection).await?;
        Ok(())
    }

    /// Asks through the broker, whose connection may have been cut.
    async fn memory(&self) -> anyhow::Result<ServerMemory> {
        eventually("the broker reaches Redis", || async {
            Ok(self.stack.broker.server().memory().await?)
        })
        .await
    }

    async fn restart_redis(&mut self) -> anyhow::Result<()> {
        self.stack.redis.restart().await?;
        // A restarted server has forgotten it.
        self.stack.acknowledge_only_durable_writes().await
    }

    /// Sets `maxmemory` to what is used, for a while.
    async fn fill_redis(&mut self) -> anyhow::Result<()> {
        let memory = self.memory().await?;
        let used = memory.used.to_string();
        self.command(&["CONFIG", "SET", "maxmemory", &used]).await?;
        tokio::time::sleep(REDIS_FULL).await;
        self.command(&["CONFIG", "SET", "maxmemory", "0"]).await
    }

    /// Kills Redis and restarts it without what it wrote in the last second.
    async fn roll_redis_back(&mut self) -> anyhow::Result<bool> {
        let file = self.append_only_file()?;
        let from_ms = now_ms();
        let length = std::fs::metadata(&file)?.len();
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.stack.redis.kill()?;
        let to_ms = now_ms();
        // A rewrite has begun another file.
        let rewritten = self.append_only_file()? != file;
        if !rewritten {
            std::fs::OpenOptions::new()
                .write(true)
                .open(&file)?
                .set_len(length)?;
            self.losses.push(Loss { from_ms, to_ms });
        }
        self.restart_redis().await?;
        Ok(!rewritten)
    }

    /// The incremental file that Redis appends to: the newest.
    fn append_only_file(&self) -> anyhow::Result<PathBuf> {
        let folder = self.stack.redis.data_dir().join("appendonlydir");
        let number = |path: &PathBuf| {
            let name = path.file_name()?.to_str()?;
            let number = name.strip_suffix(".incr.aof")?.rsplit('.').next()?;
            number.parse::<u64>().ok()
        };
        let files = std::fs::read_dir(&folder)?;
        let newest = files
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| number(path).is_some())
            .max_by_key(number);
        newest.with_context(|| format!("no incremental file in {}", folder.display()))
    }
}

async fn resume(member: &mut Member, least: Duration) -> anyhow::Result<()> {
    if let Some(stalled) = member.stalled.take() {
        tokio::time::sleep(least.saturating_sub(stalled.elapsed())).await;
        member.process.signal(Signal::SIGCONT)?;
    }
    Ok(())
}

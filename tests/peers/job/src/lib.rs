//! What a job does, and the command line of a peer: tests/peers/README.md.

use std::{
    env,
    fs::{File, OpenOptions},
    io::Write as _,
    sync::LazyLock,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

static JOURNAL: LazyLock<File> = LazyLock::new(|| {
    let path = env::var_os("PEER_JOURNAL").expect("PEER_JOURNAL is set");
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    options.open(path).expect("the journal can be written")
});

static PROVIDER: LazyLock<Option<String>> = LazyLock::new(|| env::var("PEER_PROVIDER").ok());

static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(reqwest::Client::new);

/// The arguments of a job.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Job {
    pub number: usize,
    pub enqueued: u64,
}

impl Job {
    /// A job that is enqueued now.
    pub fn now(number: usize) -> Self {
        Self {
            number,
            enqueued: now(),
        }
    }

    /// Does what the job is for.
    pub async fn run(self) -> anyhow::Result<()> {
        if let Some(provider) = &*PROVIDER {
            self.call(provider).await?;
        }
        let line = format!("{} {} {}\n", self.number, self.enqueued, now());
        Ok((&*JOURNAL).write_all(line.as_bytes())?)
    }

    async fn call(self, provider: &str) -> anyhow::Result<()> {
        let content = format!("Question {}", self.number);
        let request = CLIENT
            .post(provider)
            .bearer_auth("key")
            .json(&serde_json::json!({
                "model": "gpt-5-mini",
                "messages": [{"role": "user", "content": content}],
            }));
        request.send().await?.error_for_status()?.bytes().await?;
        Ok(())
    }
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    u64::try_from(Duration::from(time).as_nanos()).expect("it starts at boot")
}

/// What a peer is to do.
#[derive(Debug, Clone, Copy)]
pub enum Command {
    /// Enqueue this many jobs, as fast as possible or at this rate.
    Enqueue {
        count: usize,
        per_second: Option<f64>,
    },
    /// Run jobs until SIGTERM, so many at once.
    Work { concurrency: usize },
}

impl Command {
    pub fn read() -> anyhow::Result<Self> {
        let arguments: Vec<String> = env::args().skip(1).collect();
        let rest: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match rest.as_slice() {
            ["enqueue", count] => Ok(Self::Enqueue {
                count: count.parse()?,
                per_second: None,
            }),
            ["enqueue", count, rate] => Ok(Self::Enqueue {
                count: count.parse()?,
                per_second: Some(rate.parse()?),
            }),
            ["worker"] => {
                let concurrency = env::var("PEER_CONCURRENCY").context("PEER_CONCURRENCY")?;
                Ok(Self::Work {
                    concurrency: concurrency.parse()?,
                })
            }
            _ => anyhow::bail!("enqueue COUNT [PER_SECOND] | worker"),
        }
    }
}

/// Where Redis is.
pub fn redis_url() -> anyhow::Result<String> {
    env::var("REDIS_URL").context("REDIS_URL")
}

/// When each job of a steady rate is due.
#[derive(Debug)]
pub struct Pace {
    began: Instant,
    every: Duration,
}

impl Pace {
    pub fn new(per_second: f64) -> Self {
        Self {
            began: Instant::now(),
            every: Duration::from_secs_f64(1.0 / per_second),
        }
    }

    pub async fn until(&self, number: usize) {
        let due = self.began + self.every.mul_f64(number as f64);
        tokio::time::sleep_until(due.into()).await;
    }
}

/// Returns on SIGTERM.
pub async fn terminated() -> anyhow::Result<()> {
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}

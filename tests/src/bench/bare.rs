//! Redis without Longshore: the upper bound for any queue on this machine.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use redis::{
    AsyncCommands as _,
    streams::{StreamReadOptions, StreamReadReply},
};

use super::journal::{Delays, nanoseconds};
use crate::stack::Stack;

const STREAM: &str = "bare";
const GROUP: &str = "bare";

/// Entries per read, equal to a worker's.
pub(super) const COUNT: usize = 512;

/// Makes an empty stream with a group.
async fn fresh(stack: &Stack) -> anyhow::Result<redis::aio::MultiplexedConnection> {
    let mut connection = stack.connection().await?;
    connection.del::<_, ()>(STREAM).await?;
    connection
        .xgroup_create_mkstream::<_, _, _, ()>(STREAM, GROUP, "0")
        .await?;
    Ok(connection)
}

/// Reads, acks and deletes `jobs` entries on one connection, an XACK and an XDEL each, and no script; how
/// long that takes.
pub(super) async fn drain_bare(stack: &Stack, jobs: usize) -> anyhow::Result<Duration> {
    let mut connection = fresh(stack).await?;
    let numbers: Vec<usize> = (0..jobs).collect();
    for some in numbers.chunks(1000) {
        let mut pipe = redis::pipe();
        for number in some {
            pipe.xadd(STREAM, "*", &[("job", super::message(*number))])
                .ignore();
        }
        pipe.query_async::<()>(&mut connection).await?;
    }
    let options = StreamReadOptions::default().group(GROUP, "me").count(COUNT);
    let began = Instant::now();
    let mut drained = 0;
    loop {
        let reply: Option<StreamReadReply> = connection
            .xread_options(&[STREAM], &[">"], &options)
            .await?;
        let entries: Vec<String> = reply
            .into_iter()
            .flat_map(|reply| reply.keys)
            .flat_map(|key| key.ids)
            .map(|entry| entry.id)
            .collect();
        if entries.is_empty() {
            break;
        }
        drained += entries.len();
        let mut pipe = redis::pipe();
        for entry in &entries {
            pipe.xack(STREAM, GROUP, &[entry]).ignore();
            pipe.xdel(STREAM, &[entry]).ignore();
        }
        pipe.query_async::<()>(&mut connection).await?;
    }
    ensure!(drained == jobs, "{drained} of {jobs} came");
    Ok(began.elapsed())
}

/// A steady rate: so many entries together, once in so long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) every: Duration,
    pub(super) together: usize,
}

impl Pace {
    /// How many entries come in this time.
    pub(super) fn count(self, time: Duration) -> anyhow::Result<usize> {
        let beats = usize::try_from(time.as_millis() / self.every.as_millis().max(1))?;
        Ok(beats * self.together)
    }

    /// Entries a second.
    pub(super) fn rate(self) -> f64 {
        super::rate(self.together, self.every)
    }
}

/// From XADD to the return of an XREADGROUP that waited for it.
pub(super) async fn delay_bare(
    stack: &Stack,
    pace: Pace,
    time: Duration,
) -> anyhow::Result<Delays> {
    let mut sender = fresh(stack).await?;
    let mut receiver = stack.connection().await?;
    let options = StreamReadOptions::default()
        .group(GROUP, "me")
        .count(COUNT)
        .block(5000);
    let count = pace.count(time)?;
    let receiving = async {
        let mut delays = Vec::new();
        while delays.len() < count {
            let reply: StreamReadReply =
                receiver.xread_options(&[STREAM], &[">"], &options).await?;
            let arrived = nanoseconds();
            for entry in reply.keys.iter().flat_map(|key| &key.ids) {
                let sent: u64 = entry.get("at").unwrap_or(arrived);
                delays.push(arrived.saturating_sub(sent));
            }
        }
        Delays::of(delays)
    };
    let sending = async {
        let mut beat = tokio::time::interval(pace.every);
        for _ in 0..count / pace.together {
            beat.tick().await;
            let mut pipe = redis::pipe();
            for _ in 0..pace.together {
                pipe.xadd(STREAM, "*", &[("at", nanoseconds())]).ignore();
            }
            pipe.query_async::<()>(&mut sender).await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    let (delays, ()) = tokio::try_join!(receiving, sending)?;
    Ok(delays)
}

/// A value of Redis's INFO.
pub(super) async fn info(stack: &Stack, name: &str) -> anyhow::Result<String> {
    let text: String = redis::cmd("INFO")
        .query_async(&mut stack.connection().await?)
        .await?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(value
        .with_context(|| format!("INFO without {name}"))?
        .trim()
        .to_owned())
}

/// Which server it is, and how it allocates, which matters: Redis's own builds use jemalloc.
pub(super) async fn server(stack: &Stack) -> anyhow::Result<String> {
    let name = match info(stack, "valkey_version").await {
        Ok(version) => format!("Valkey {version}"),
        Err(_) => format!("Redis {}", info(stack, "redis_version").await?),
    };
    Ok(format!(
        "{name} with {}",
        info(stack, "mem_allocator").await?
    ))
}

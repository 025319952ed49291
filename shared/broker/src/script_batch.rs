//! Batches the calls of many jobs into one script call: jobs that arrive while Redis is busy share a call.
//!
//! A call never waits for others, so a single job is as fast as without batching.

use std::{io::Write as _, sync::Arc};

use redis::{RedisError, RedisWrite, Script, ToRedisArgs};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{connection::SharedConnection, task};

/// The maximum number of jobs in one call: a call should block Redis for well under a millisecond.
const MOST_JOBS: usize = 16;

/// The maximum number of calls in flight: enough to keep Redis busy, few enough for batches to form.
const MOST_CALLS: usize = 4;

/// The arguments of one job, in one buffer.
#[derive(Debug)]
pub(super) struct Arguments {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
}

impl Arguments {
    /// With capacity for `count` arguments of `bytes` in total.
    pub(super) fn with_room(count: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            lengths: Vec::with_capacity(count),
        }
    }

    pub(super) fn push_str(&mut self, argument: &str) -> &mut Self {
        self.bytes.extend_from_slice(argument.as_bytes());
        self.lengths.push(argument.len());
        self
    }

    pub(super) fn push_display(&mut self, argument: impl std::fmt::Display) -> &mut Self {
        let before = self.bytes.len();
        // Writing to memory does not fail.
        let _written = write!(self.bytes, "{argument}");
        self.lengths.push(self.bytes.len() - before);
        self
    }
}

impl ToRedisArgs for Arguments {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut rest = self.bytes.as_slice();
        for length in &self.lengths {
            let (argument, after) = rest.split_at(*length);
            out.write_arg(argument);
            rest = after;
        }
    }

    fn num_of_args(&self) -> usize {
        self.lengths.len()
    }
}

type Reply = Result<String, RedisError>;

/// Batches the calls of one script.
#[derive(Clone)]
pub(super) struct ScriptBatcher {
    steps: mpsc::UnboundedSender<(Arguments, oneshot::Sender<Reply>)>,
}

impl ScriptBatcher {
    /// Starts a task that calls `script` with KEYS[1] = `key` and ARGV = `prefix` and the arguments of each job. The
    /// script returns a list with one reply a job.
    pub(super) fn start(
        script: &'static Script,
        key: String,
        prefix: String,
        connection: SharedConnection,
    ) -> Self {
        let (steps, mut received) = mpsc::unbounded_channel();
        let caller = Arc::new(Caller {
            script,
            key,
            prefix,
            connection,
        });
        task::spawn("script batcher", async move {
            let calls = Arc::new(Semaphore::new(MOST_CALLS));
            loop {
                // Never closed: only this task owns it.
                let Ok(permit) = calls.clone().acquire_owned().await else {
                    return;
                };
                let mut batch = Vec::with_capacity(MOST_JOBS);
                if received.recv_many(&mut batch, MOST_JOBS).await == 0 {
                    return;
                }
                let caller = caller.clone();
                task::spawn("script batch", async move {
                    caller.call(batch).await;
                    drop(permit);
                });
            }
        });
        Self { steps }
    }

    /// Adds a job to the next call and returns its reply.
    pub(super) async fn run(&self, arguments: Arguments) -> Reply {
        let (sender, reply) = oneshot::channel();
        if self.steps.send((arguments, sender)).is_err() {
            return Err(closed());
        }
        reply.await.unwrap_or_else(|_| Err(closed()))
    }
}

struct Caller {
    script: &'static Script,
    key: String,
    prefix: String,
    connection: SharedConnection,
}

impl Caller {
    async fn call(&self, batch: Vec<(Arguments, oneshot::Sender<Reply>)>) {
        match self.replies(&batch).await {
            Ok(replies) if replies.len() == batch.len() => {
                for ((_, sender), reply) in batch.into_iter().zip(replies) {
                    // The caller may have given up.
                    let _dropped = sender.send(Ok(reply));
                }
            }
            Ok(replies) => {
                let error = std::io::Error::other(format!(
                    "the script returned {} replies for {} jobs",
                    replies.len(),
                    batch.len()
                ));
                fail_all(batch, &error.into());
            }
            Err(error) => fail_all(batch, &error),
        }
    }

    async fn replies(
        &self,
        batch: &[(Arguments, oneshot::Sender<Reply>)],
    ) -> Result<Vec<String>, RedisError> {
        let mut command = redis::cmd("EVALSHA");
        command
            .arg(self.script.get_hash())
            .arg(1)
            .arg(&self.key)
            .arg(&self.prefix);
        for (arguments, _) in batch {
            command.arg(arguments);
        }
        let mut connection = self.connection.clone();
        match command.query_async(&mut connection).await {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                self.script
                    .prepare_invoke()
                    .load_async(&mut connection)
                    .await?;
                command.query_async(&mut connection).await
            }
            reply => reply,
        }
    }
}

fn fail_all(batch: Vec<(Arguments, oneshot::Sender<Reply>)>, error: &RedisError) {
    for (_, sender) in batch {
        let _dropped = sender.send(Err(error.clone()));
    }
}

fn closed() -> RedisError {
    std::io::Error::other("the batcher has stopped").into()
}

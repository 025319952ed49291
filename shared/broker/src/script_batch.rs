//! Steps of many jobs in one script call: what piles up while Redis is busy travels together.
//!
//! A step is never waited for to fill a batch, so that a lone job is as quick as without.

use std::{io::Write as _, sync::Arc};

use redis::{RedisError, RedisWrite, Script, ToRedisArgs, aio::ConnectionManager};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Steps in one call: a call should hold Redis for well under a millisecond.
const MOST: usize = 16;

/// Calls on the way at once; enough to keep Redis busy, few enough for batches to form.
const CALLS: usize = 4;

/// The arguments of one step, in one piece of memory.
#[derive(Debug)]
pub(super) struct Arguments {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
}

impl Arguments {
    /// With room for so many arguments, of so many bytes.
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

type Answer = Result<String, RedisError>;

/// Where steps of one kind are handed in.
#[derive(Clone)]
pub(super) struct ScriptBatcher {
    steps: mpsc::UnboundedSender<(Arguments, oneshot::Sender<Answer>)>,
}

impl ScriptBatcher {
    /// Calls `script` with KEYS[1] = `key` and ARGV = `prefix` and the arguments of every step; it
    /// answers with a list of one word a step.
    pub(super) fn start(
        script: &'static Script,
        key: String,
        prefix: String,
        connection: ConnectionManager,
    ) -> Self {
        let (steps, mut handed_in) = mpsc::unbounded_channel();
        let caller = Arc::new(Caller {
            script,
            key,
            prefix,
            connection,
        });
        tokio::spawn(async move {
            let calls = Arc::new(Semaphore::new(CALLS));
            loop {
                // Never closed: this task alone has it.
                let Ok(place) = calls.clone().acquire_owned().await else {
                    return;
                };
                let mut batch = Vec::with_capacity(MOST);
                if handed_in.recv_many(&mut batch, MOST).await == 0 {
                    return;
                }
                let caller = caller.clone();
                tokio::spawn(async move {
                    caller.call(batch).await;
                    drop(place);
                });
            }
        });
        Self { steps }
    }

    /// Hands a step in and waits for its word.
    pub(super) async fn step(&self, arguments: Arguments) -> Answer {
        let (answer, answered) = oneshot::channel();
        if self.steps.send((arguments, answer)).is_err() {
            return Err(gone());
        }
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

struct Caller {
    script: &'static Script,
    key: String,
    prefix: String,
    connection: ConnectionManager,
}

impl Caller {
    async fn call(&self, batch: Vec<(Arguments, oneshot::Sender<Answer>)>) {
        let answers = self.answers(&batch).await;
        match answers {
            Ok(words) if words.len() == batch.len() => {
                for ((_, answer), word) in batch.into_iter().zip(words) {
                    // Who no longer waits does not miss it.
                    let _unheard = answer.send(Ok(word));
                }
            }
            Ok(words) => {
                let error = std::io::Error::other(format!(
                    "{} answers for {} steps",
                    words.len(),
                    batch.len()
                ));
                tell_all(batch, &error.into());
            }
            Err(error) => tell_all(batch, &error),
        }
    }

    async fn answers(
        &self,
        batch: &[(Arguments, oneshot::Sender<Answer>)],
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
            answered => answered,
        }
    }
}

fn tell_all(batch: Vec<(Arguments, oneshot::Sender<Answer>)>, error: &RedisError) {
    for (_, answer) in batch {
        let _unheard = answer.send(Err(error.clone()));
    }
}

fn gone() -> RedisError {
    std::io::Error::other("the connection is being closed").into()
}

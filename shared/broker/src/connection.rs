//! The connection that all commands share, and its replacement.
//!
//! A connection that is closed is opened anew at once. One that is half-open (the other end is gone, and nobody said
//! so), or that leads to a server that is no longer the primary, does not close: commands time out or are refused for
//! ever. Such a connection is replaced.

mod endpoint;
mod fault;
mod pool;
mod primary;
mod slot;
mod subscription;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use redis::{
    Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};

pub(crate) use self::{
    endpoint::Endpoint,
    fault::Fault,
    pool::{Pool, pool, take},
};
pub use self::{endpoint::UnusableFile, pool::PooledConnection, subscription::Subscription};
use crate::{RESPONSE_TIMEOUT, task};

/// The least age of a connection that is replaced although it is not closed: many commands fail at once.
const LEAST_AGE: Duration = Duration::from_secs(1);

/// The delay before a connection that failed to open is opened a second time.
const REOPEN_AFTER: Duration = Duration::from_millis(100);

/// How long a command that was refused, because the primary moves, is sent again.
const PATIENCE: Duration = Duration::from_secs(3);

/// The first delay before it is sent again; the delays double.
const FIRST_DELAY: Duration = Duration::from_millis(20);

/// Cheap to clone; pipelines the commands of all clones.
#[derive(Clone)]
pub(crate) struct SharedConnection(Arc<Inner>);

struct Inner {
    endpoint: Arc<Endpoint>,
    current: RwLock<Current>,
}

/// A connection that is open or being opened.
#[derive(Clone)]
struct Current {
    connection: Shared<BoxFuture<'static, RedisResult<MultiplexedConnection>>>,
    since: Instant,
    /// How many connections were before it.
    number: u64,
}

impl SharedConnection {
    pub(crate) async fn open(endpoint: Arc<Endpoint>) -> RedisResult<Self> {
        let current = Current::open(endpoint.clone(), 0);
        current.connection.clone().await?;
        Ok(Self(Arc::new(Inner {
            endpoint,
            current: RwLock::new(current),
        })))
    }
}

impl Current {
    /// Begins to open a connection, whether anyone waits for it or not.
    fn open(endpoint: Arc<Endpoint>, number: u64) -> Self {
        let opened = async move {
            let opened = endpoint.open(RESPONSE_TIMEOUT).await;
            if opened.is_ok() {
                return opened;
            }
            tokio::time::sleep(REOPEN_AFTER).await;
            endpoint.open(RESPONSE_TIMEOUT).await
        };
        let connection = opened.boxed().shared();
        let opening = connection.clone();
        task::spawn("Redis connection", async move {
            // Its users see the error.
            drop(opening.await);
        });
        Self {
            connection,
            since: Instant::now(),
            number,
        }
    }
}

impl ConnectionLike for SharedConnection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut patience = Patience::new();
            loop {
                let current = self.0.current();
                let reply = match current.connection.clone().await {
                    Ok(mut connection) => connection.req_packed_command(command).await,
                    Err(error) => Err(error),
                };
                let reply = match reply {
                    Ok(Value::ServerError(error)) => Err(RedisError::from(error)),
                    reply => reply,
                };
                let Err(error) = reply else {
                    return reply;
                };
                let fault = self.0.note(&current, &error);
                if !(self.0.may_repeat(&fault) && patience.wait().await) {
                    return Err(error);
                }
            }
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut patience = Patience::new();
            loop {
                let current = self.0.current();
                let replies = match current.connection.clone().await {
                    Ok(mut connection) => {
                        connection
                            .req_packed_commands(pipeline, offset, count)
                            .await
                    }
                    Err(error) => Err(error),
                };
                let refused = match &replies {
                    Ok(replies) => refusal_among(replies),
                    Err(error) => Some(error.clone()),
                };
                let Some(error) = refused else {
                    return replies;
                };
                let fault = self.0.note(&current, &error);
                // Of a pipeline that is no transaction, some commands may have run.
                let may_repeat = pipeline.is_transaction() && self.0.may_repeat(&fault);
                if !(may_repeat && patience.wait().await) {
                    return replies;
                }
            }
        })
    }

    fn get_db(&self) -> i64 {
        let current = self.0.current();
        let opened = current.connection.peek();
        opened.map_or(0, |opened| {
            opened.as_ref().map_or(0, ConnectionLike::get_db)
        })
    }
}

/// The first reply that says that the primary moved.
fn refusal_among(replies: &[Value]) -> Option<RedisError> {
    replies.iter().find_map(|reply| match reply {
        Value::ServerError(error) if Fault::of_reply(error).is_refusal() => {
            Some(error.clone().into())
        }
        _ => None,
    })
}

impl Inner {
    fn current(&self) -> Current {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    /// Whether a command that failed so did not run, and may run on the primary soon. What a server without failover
    /// refuses, it refuses again.
    fn may_repeat(&self, fault: &Fault) -> bool {
        self.endpoint.has_failover() && fault.is_refusal()
    }

    /// Replaces the connection if this error of it says that it will not recover by itself.
    fn note(&self, failed: &Current, error: &RedisError) -> Fault {
        let fault = Fault::of(error);
        let is_old = failed.since.elapsed() >= LEAST_AGE;
        let was_open = failed.connection.peek().is_some_and(Result::is_ok);
        let is_over = match fault {
            Fault::Command => false,
            Fault::Broken => true,
            Fault::Stuck | Fault::Moved(_) | Fault::NotNow => is_old,
        };
        if is_over || !was_open {
            self.replace(failed, &fault, error, was_open);
        }
        fault
    }

    fn replace(&self, failed: &Current, fault: &Fault, error: &RedisError, was_open: bool) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.number != failed.number {
            return;
        }
        match fault {
            Fault::Moved(node) => self.endpoint.forget_primary(node.clone()),
            _ => self.endpoint.forget_primary(None),
        }
        if was_open {
            tracing::warn!(
                redis = self.endpoint.address(),
                "Redis connection replaced: {error}"
            );
        }
        *current = Current::open(self.endpoint.clone(), failed.number + 1);
    }
}

/// Growing delays between the repetitions of a command.
struct Patience {
    until: Instant,
    delay: Duration,
}

impl Patience {
    fn new() -> Self {
        Self {
            until: Instant::now() + PATIENCE,
            delay: FIRST_DELAY,
        }
    }

    /// Waits before the next repetition; `false` if there is to be none.
    async fn wait(&mut self) -> bool {
        if Instant::now() + self.delay > self.until {
            return false;
        }
        tokio::time::sleep(self.delay).await;
        self.delay *= 2;
        true
    }
}

//! The connection that all commands share, and its replacement.
//!
//! A [`ConnectionManager`] reconnects when its connection closes. A connection that is half-open (the other
//! end is gone, and nobody said so), or that leads to a server that was demoted to a replica, does not close:
//! commands time out or are refused for ever. Such a connection is replaced.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use redis::{
    Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};

/// The least age of a connection that is replaced: many commands fail at once.
const LEAST_AGE: Duration = Duration::from_secs(1);

/// Cheap to clone; pipelines the commands of all clones.
#[derive(Clone)]
pub(crate) struct SharedConnection(Arc<Inner>);

struct Inner {
    client: Client,
    config: ConnectionManagerConfig,
    current: RwLock<Current>,
}

struct Current {
    manager: ConnectionManager,
    opened: Instant,
}

impl SharedConnection {
    pub(crate) async fn open(client: Client, config: ConnectionManagerConfig) -> RedisResult<Self> {
        let manager = client
            .get_connection_manager_with_config(config.clone())
            .await?;
        Ok(Self(Arc::new(Inner {
            client,
            config,
            current: RwLock::new(Current {
                manager,
                opened: Instant::now(),
            }),
        })))
    }
}

impl ConnectionLike for SharedConnection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let reply = self.0.manager().req_packed_command(command).await;
            reply.inspect_err(|error| self.0.replace_after(error))
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut manager = self.0.manager();
            let replies = manager.req_packed_commands(pipeline, offset, count).await;
            replies.inspect_err(|error| self.0.replace_after(error))
        })
    }

    fn get_db(&self) -> i64 {
        self.0.manager().get_db()
    }
}

impl Inner {
    fn manager(&self) -> ConnectionManager {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.manager.clone()
    }

    /// Replaces the connection if this error says that it will not recover by itself.
    fn replace_after(&self, error: &RedisError) {
        let is_stuck =
            error.is_timeout() || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
        if !is_stuck {
            return;
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.opened.elapsed() < LEAST_AGE {
            return;
        }
        let client = self.client.clone();
        match ConnectionManager::new_lazy_with_config(client, self.config.clone()) {
            Ok(manager) => {
                tracing::warn!("Redis connection replaced: {error}");
                *current = Current {
                    manager,
                    opened: Instant::now(),
                };
            }
            Err(failed) => tracing::error!("Redis connection not replaced: {failed}"),
        }
    }
}

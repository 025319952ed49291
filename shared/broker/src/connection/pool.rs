//! The pool, for commands that are long or rare and must not block the shared connection.

use std::sync::Arc;

use deadpool::managed::{Manager, Metrics, Object, PoolError, RecycleError, RecycleResult};
use longshore_policy::redis::HostPort;
use redis::{
    Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};

use super::{Endpoint, Fault};
use crate::RESPONSE_TIMEOUT;

/// A pool of connections to the primary.
pub(crate) type Pool = deadpool::managed::Pool<PoolManager>;

/// Opens and checks the connections of a pool.
pub(crate) struct PoolManager {
    endpoint: Arc<Endpoint>,
}

/// A connection of a pool, and the primary that it leads to.
pub(crate) struct Pooled {
    connection: MultiplexedConnection,
    primary: Option<HostPort>,
}

/// A connection that returns to its pool when it is dropped.
pub struct PooledConnection {
    pooled: Object<PoolManager>,
    endpoint: Arc<Endpoint>,
}

pub(crate) fn pool(endpoint: Arc<Endpoint>) -> Result<Pool, String> {
    Pool::builder(PoolManager { endpoint })
        .build()
        .map_err(|error| error.to_string())
}

/// Takes a connection from a pool, or opens one.
pub(crate) async fn take(pool: &Pool) -> Result<PooledConnection, PoolError<RedisError>> {
    Ok(PooledConnection {
        endpoint: pool.manager().endpoint.clone(),
        // Boxed: it opens a connection if none is idle.
        pooled: Box::pin(pool.get()).await?,
    })
}

impl Manager for PoolManager {
    type Type = Pooled;
    type Error = RedisError;

    async fn create(&self) -> RedisResult<Pooled> {
        let connection = self.endpoint.open(RESPONSE_TIMEOUT).await?;
        Ok(Pooled {
            connection,
            primary: self.endpoint.primary(),
        })
    }

    async fn recycle(&self, pooled: &mut Pooled, _: &Metrics) -> RecycleResult<RedisError> {
        if pooled.primary != self.endpoint.primary() {
            return Err(RecycleError::message("the primary has moved"));
        }
        let () = redis::cmd("PING")
            .query_async(&mut pooled.connection)
            .await?;
        Ok(())
    }
}

impl PooledConnection {
    fn note<T>(&self, reply: RedisResult<T>) -> RedisResult<T> {
        reply.inspect_err(|error| {
            if let Fault::Moved(node) = Fault::of(error) {
                self.endpoint.forget_primary(node);
            }
        })
    }
}

impl ConnectionLike for PooledConnection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let reply = self.pooled.connection.req_packed_command(command).await;
            self.note(reply)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let connection = &mut self.pooled.connection;
            let replies = connection
                .req_packed_commands(pipeline, offset, count)
                .await;
            self.note(replies)
        })
    }

    fn get_db(&self) -> i64 {
        self.pooled.connection.get_db()
    }
}

//! Subscriptions that notice when nothing passes any more.

use std::time::Duration;

use futures::StreamExt as _;
use redis::{
    Msg, RedisResult, Value,
    aio::{PubSub, PubSubSink, PubSubStream},
};

use crate::RESPONSE_TIMEOUT;

/// How long a subscription is quiet before the server must answer a ping.
const QUIET: Duration = Duration::from_secs(10);

/// A subscription to one channel.
pub struct Subscription {
    sink: PubSubSink,
    messages: PubSubStream,
}

impl Subscription {
    pub(crate) async fn to(channel: &str, mut connection: PubSub) -> RedisResult<Self> {
        connection.subscribe(channel).await?;
        let (sink, messages) = connection.split();
        Ok(Self { sink, messages })
    }

    /// The next message; `None` if the connection closed or does not answer.
    pub async fn next(&mut self) -> Option<Msg> {
        loop {
            if let Ok(message) = tokio::time::timeout(QUIET, self.messages.next()).await {
                return message;
            }
            let ping = tokio::time::timeout(RESPONSE_TIMEOUT, self.sink.ping::<Value>());
            if !matches!(ping.await, Ok(Ok(_))) {
                return None;
            }
        }
    }
}

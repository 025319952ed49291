//! The leading scheduler: a lease in Redis.

use std::{fmt, time::Duration};

use redis::AsyncCommands as _;

use crate::{BrokerError, Leader, Subscription, scripts};

/// Identifies one term of leadership; it grows each time that the lease changes hands. Steps that only the leader
/// may take pass it, and Redis refuses all but the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaderToken(u64);

impl fmt::Display for LeaderToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Leader<'_> {
    /// Acquires or renews the lease; returns the token if `who` leads.
    pub async fn acquire(
        self,
        who: &str,
        lease: Duration,
    ) -> Result<Option<LeaderToken>, BrokerError> {
        let mut call = scripts::ACQUIRE_LEASE.key(self.broker.keys().leader());
        call.arg(self.broker.keys().prefix())
            .arg(who)
            .arg(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        let token: u64 = call
            .invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok((token > 0).then_some(LeaderToken(token)))
    }

    /// The id of the leading scheduler, if any.
    pub async fn current(self) -> Result<Option<String>, BrokerError> {
        self.broker
            .shared()
            .get(self.broker.keys().leader())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Whether any scheduler leads.
    pub async fn is_elected(self) -> Result<bool, BrokerError> {
        self.broker
            .shared()
            .exists(self.broker.keys().leader())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Gives up the lease and wakes the other schedulers.
    pub async fn resign(self, who: &str) -> Result<(), BrokerError> {
        let mut call = scripts::RESIGN_LEASE.key(self.broker.keys().leader());
        call.arg(self.broker.keys().prefix()).arg(who);
        call.invoke_async::<u64>(&mut self.broker.shared())
            .await
            .map(|_| ())
            .map_err(|source| self.broker.failed(source))
    }

    /// Subscribes to the channel that wakes the scheduler.
    pub async fn subscribe_wake_ups(self) -> Result<Subscription, BrokerError> {
        self.broker.subscribe(&self.broker.keys().wake()).await
    }
}

//! One leader among the schedulers: a lease in Redis.

use std::{fmt, time::Duration};

use redis::AsyncCommands as _;

use super::{Broker, BrokerError, scripts};

/// What one leader has and no earlier one: it grows each time that the lease changes hands. Steps that two
/// leaders must not both take name it, and the server refuses all but the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaderToken(u64);

impl fmt::Display for LeaderToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Broker {
    /// Takes or renews the lease; the token of the asker, if it leads.
    pub async fn lead(
        &self,
        who: &str,
        lease: Duration,
    ) -> Result<Option<LeaderToken>, BrokerError> {
        let mut call = scripts::ACQUIRE_LEASE.key(self.keys().leader());
        call.arg(self.keys().prefix())
            .arg(who)
            .arg(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        let token: u64 = call
            .invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))?;
        Ok((token > 0).then_some(LeaderToken(token)))
    }

    /// Whether any scheduler leads.
    pub async fn is_led(&self) -> Result<bool, BrokerError> {
        self.shared()
            .exists(self.keys().leader())
            .await
            .map_err(|source| self.failed(source))
    }

    /// Gives the lease back, and wakes those that stand by.
    pub async fn resign(&self, who: &str) -> Result<(), BrokerError> {
        let mut call = scripts::RESIGN_LEASE.key(self.keys().leader());
        call.arg(self.keys().prefix()).arg(who);
        call.invoke_async::<u64>(&mut self.shared())
            .await
            .map(|_| ())
            .map_err(|source| self.failed(source))
    }
}

//! One leader among the schedulers: a lease in Redis.

use std::time::Duration;

use redis::AsyncCommands as _;

use super::{Broker, BrokerError, scripts};

impl Broker {
    /// Takes or renews the lease; whether the asker leads.
    pub async fn lead(&self, who: &str, lease: Duration) -> Result<bool, BrokerError> {
        let mut call = scripts::LEAD.key(self.keys().leader());
        call.arg(self.keys().prefix())
            .arg(who)
            .arg(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        call.invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))
    }

    /// Whether any scheduler leads.
    pub async fn is_led(&self) -> Result<bool, BrokerError> {
        self.shared()
            .exists(self.keys().leader())
            .await
            .map_err(|source| self.failed(source))
    }

    /// Gives the lease back.
    pub async fn resign(&self, who: &str) -> Result<(), BrokerError> {
        let mut call = scripts::RESIGN.key(self.keys().leader());
        call.arg(self.keys().prefix()).arg(who);
        call.invoke_async::<u64>(&mut self.shared())
            .await
            .map(|_| ())
            .map_err(|source| self.failed(source))
    }
}

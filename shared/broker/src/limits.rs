//! Limits: account holds, windows, meters, alerts.

mod alerts;
mod meters;

use redis::AsyncCommands as _;

pub use self::{
    alerts::{Claimed, Raised},
    meters::{Fill, MeterReport, WindowFill},
};
use crate::{BrokerError, Limits, scripts};

impl Limits<'_> {
    /// Holds an account until a time (ms since 1970; 0 = no hold) for all workers, and halves the slots of its
    /// concurrency limit, given as meter and limit.
    pub async fn hold_account(
        self,
        account: &str,
        until_ms: i64,
        slots: Option<(&str, u32)>,
    ) -> Result<(), BrokerError> {
        let (meter, most) = slots.unwrap_or(("", 0));
        let mut call = scripts::HOLD_ACCOUNT.key(self.broker.keys().account_holds());
        call.arg(self.broker.keys().prefix())
            .arg(account)
            .arg(until_ms)
            .arg(meter)
            .arg(most);
        let _ok: String = self.broker.run(&call).await?;
        Ok(())
    }

    /// The held accounts and when their holds end (ms since 1970).
    pub async fn account_holds(self) -> Result<Vec<(String, i64)>, BrokerError> {
        self.broker
            .shared()
            .hgetall(self.broker.keys().account_holds())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Closes at most `most` windows that are over: the usage of each is recorded once. A window without an end is
    /// deleted after 30 days without usage if its meter begins with one of `forgettable`. Returns how many were
    /// checked; `most` means that there may be more.
    pub async fn close_windows(
        self,
        most: usize,
        forgettable: &[String],
    ) -> Result<usize, BrokerError> {
        let mut call = scripts::CLOSE_WINDOWS.key(self.broker.keys().windows());
        call.arg(self.broker.keys().prefix())
            .arg(most)
            .arg(forgettable);
        self.broker.run(&call).await
    }
}

//! Windows of quotas and budgets that are over.

mod alerts;
mod meters;

use redis::AsyncCommands as _;

pub use self::{
    alerts::{Claimed, Raised},
    meters::{Fill, MeterReport, WindowFill},
};
use crate::{BrokerError, Limits, scripts};

impl Limits<'_> {
    /// Tells all workers not to call an account until a time (ms since the epoch; 0: only fewer at once),
    /// and cuts the number of calls at once, of which `slots` is the meter and the limit.
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

    /// Until when accounts are not to be called (ms since the epoch), as their providers said.
    pub async fn account_holds(self) -> Result<Vec<(String, i64)>, BrokerError> {
        self.broker
            .shared()
            .hgetall(self.broker.keys().account_holds())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Closes at most `most` windows that are over: each goes to the record once with what was used of
    /// it. Sums without an end whose meters begin with one of `forgettable` are forgotten once nothing was
    /// spent on them for 30 days. Gives how many were looked at; `most` means that there may be more.
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

//! Limits: account holds, windows, meters, alerts.

mod alerts;
mod meters;

use chrono::{DateTime, Utc};
use longshore_protocol::platform::PlatformName;
use redis::AsyncCommands as _;

pub use self::{
    alerts::{AlertCheck, ClaimedAlert},
    meters::{MeterReport, MeterUsage, WindowUsage},
};
use crate::{BrokerError, Limits, scripts};

/// The concurrency limit of an account.
#[derive(Debug, Clone, Copy)]
pub struct SlotLimit<'a> {
    /// The meter of its slots.
    pub meter: &'a str,
    /// The configured number of slots.
    pub limit: u32,
}

impl Limits<'_> {
    /// Holds an account for all workers until a time (`None` = no hold), and halves the slots of its concurrency
    /// limit.
    pub async fn hold_account(
        self,
        account: &PlatformName,
        until: Option<DateTime<Utc>>,
        slots: Option<SlotLimit<'_>>,
    ) -> Result<(), BrokerError> {
        let (meter, limit) = slots.map_or(("", 0), |slots| (slots.meter, slots.limit));
        let mut call = scripts::HOLD_ACCOUNT.key(self.broker.keys().account_holds());
        call.arg(self.broker.keys().prefix())
            .arg(account.as_str())
            .arg(until.map_or(0, |until| until.timestamp_millis()))
            .arg(meter)
            .arg(limit);
        let _ok: String = self.broker.run(&call).await?;
        Ok(())
    }

    /// The held accounts and when their holds end.
    pub async fn account_holds(self) -> Result<Vec<(PlatformName, DateTime<Utc>)>, BrokerError> {
        let key = self.broker.keys().account_holds();
        let holds: Vec<(String, i64)> = self
            .broker
            .shared()
            .hgetall(&key)
            .await
            .map_err(|source| self.broker.failed(source))?;
        holds
            .into_iter()
            .map(|(account, until_ms)| {
                let until = DateTime::from_timestamp_millis(until_ms).ok_or_else(|| {
                    BrokerError::foreign(&key, format!("{account}: {until_ms} is not a time in ms"))
                })?;
                Ok((PlatformName::from_stored(account), until))
            })
            .collect()
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

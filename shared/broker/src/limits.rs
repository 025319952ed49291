//! Limits: account holds, windows, meters, alerts.

mod alerts;
mod meters;
mod records;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use longshore_protocol::{id::AccessDigest, platform::PlatformName};
use serde::Serialize;

pub use self::{
    alerts::{Alert, AlertCheck, ClaimedAlert},
    meters::{MeterReport, MeterUsage, WindowUsage},
    records::{OpenWindow, StoredLimitRecord, WindowCorrection},
};
use crate::{BrokerError, Limits, deliveries::flag, scripts};

/// The concurrency limit of an account.
#[derive(Debug, Clone, Copy)]
pub struct SlotLimit<'a> {
    /// The meter of its slots.
    pub meter: &'a str,
    /// The configured number of slots.
    pub limit: u32,
    /// Whether it follows from other limits and may be far more than the calls in flight.
    pub is_implied: bool,
}

/// The hold of an account: no worker calls it until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountHold {
    pub account: PlatformName,
    pub until: DateTime<Utc>,
    /// What the provider said; empty if unknown.
    pub reason: String,
    /// To whom it said so, if known.
    #[serde(skip)]
    pub access: Option<AccountAccess>,
}

/// A provider of an account, as a worker calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountAccess {
    pub provider: PlatformName,
    /// The digest of its address and key.
    pub digest: AccessDigest,
}

impl AccountAccess {
    fn to_lua_argument(&self) -> String {
        format!("{} {}", self.provider, self.digest)
    }

    fn parse(text: &str) -> Option<Self> {
        let (provider, digest) = text.split_once(' ')?;
        Some(Self {
            provider: PlatformName::from_stored(provider),
            digest: AccessDigest::from_stored(digest),
        })
    }
}

/// Texts by account.
type ByAccount = HashMap<String, String>;

/// The most jobs of one page of `release_account.lua`.
const RELEASED_JOBS: usize = 1_000;

impl Limits<'_> {
    /// Holds an account for all workers until a time (`None` = no hold), because of what its provider said, and
    /// counts a refusal against the slots of its concurrency limit.
    pub async fn hold_account(
        self,
        account: &PlatformName,
        until: Option<DateTime<Utc>>,
        reason: &str,
        slots: Option<SlotLimit<'_>>,
        access: &AccountAccess,
    ) -> Result<(), BrokerError> {
        let (meter, limit) = slots.map_or(("", 0), |slots| (slots.meter, slots.limit));
        let is_implied = slots.is_some_and(|slots| slots.is_implied);
        let mut call = scripts::HOLD_ACCOUNT.key(self.broker.keys().account_holds());
        call.arg(self.broker.keys().prefix())
            .arg(account.as_str())
            .arg(until.map_or(0, |until| until.timestamp_millis()))
            .arg(meter)
            .arg(limit)
            .arg(reason)
            .arg(flag(is_implied, "1"))
            .arg(access.to_lua_argument());
        let _ok: String = self.broker.run(&call).await?;
        Ok(())
    }

    /// Ends the hold of an account before its time. Returns how many jobs that were parked until its end became due;
    /// `None` if the account was not held.
    pub async fn release_account(
        self,
        account: &PlatformName,
    ) -> Result<Option<usize>, BrokerError> {
        self.release(account, None).await
    }

    /// The same, but only if the hold is of this access, and none of the account was released so within the last minute.
    pub async fn release_outdated(
        self,
        account: &PlatformName,
        access: &AccountAccess,
    ) -> Result<Option<usize>, BrokerError> {
        self.release(account, Some(access)).await
    }

    async fn release(
        self,
        account: &PlatformName,
        access: Option<&AccountAccess>,
    ) -> Result<Option<usize>, BrokerError> {
        let access = access.map_or_else(String::new, AccountAccess::to_lua_argument);
        let (mut until, mut due) = (String::new(), 0);
        loop {
            let mut call = scripts::RELEASE_ACCOUNT.key(self.broker.keys().account_holds());
            call.arg(self.broker.keys().prefix())
                .arg(account.as_str())
                .arg(&until)
                .arg(&access);
            let (until_ms, some): (i64, usize) = self.broker.run(&call).await?;
            if until_ms < 0 {
                return Ok(None);
            }
            due += some;
            if some < RELEASED_JOBS {
                return Ok(Some(due));
            }
            until = until_ms.to_string();
        }
    }

    /// The holds that have not ended by `now`, by account.
    pub async fn account_holds(self, now: DateTime<Utc>) -> Result<Vec<AccountHold>, BrokerError> {
        let key = self.broker.keys().account_holds();
        let (holds, mut reasons, access): (Vec<(String, i64)>, ByAccount, ByAccount) =
            redis::pipe()
                .hgetall(&key)
                .hgetall(self.broker.keys().account_reasons())
                .hgetall(self.broker.keys().account_access())
                .query_async(&mut self.broker.shared())
                .await
                .map_err(|source| self.broker.failed(source))?;
        let mut held = Vec::new();
        for (account, until_ms) in holds {
            let until = DateTime::from_timestamp_millis(until_ms).ok_or_else(|| {
                BrokerError::foreign(&key, format!("{account}: {until_ms} is not a time in ms"))
            })?;
            if until > now {
                held.push(AccountHold {
                    reason: reasons.remove(&account).unwrap_or_default(),
                    access: access
                        .get(&account)
                        .and_then(|text| AccountAccess::parse(text)),
                    account: PlatformName::from_stored(account),
                    until,
                });
            }
        }
        held.sort_by(|a, b| a.account.cmp(&b.account));
        Ok(held)
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

//! The accounts that their providers limit: until when they are not to be called, as all workers know.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use longshore_broker::{Broker, BrokerError};
use longshore_policy::catalog::ProviderEntry;
use longshore_protocol::{
    call::{CallError, ErrorClass, ProviderRoom, RoomLeft},
    platform::PlatformName,
};

/// An account whose quota is spent, with no word on for how long, is asked again after this.
const SPENT_PAUSE: Duration = Duration::from_mins(1);

/// An account of which nothing is left, by the headers of an answer, is left alone for so long at most.
const EMPTY_PAUSE: Duration = Duration::from_secs(1);

/// Nobody is believed who says to wait for longer.
const LONGEST_PAUSE: Duration = Duration::from_hours(24);

/// Until when accounts are not to be called.
#[derive(Debug, Default)]
pub struct Accounts {
    until: RwLock<HashMap<String, DateTime<Utc>>>,
}

impl Accounts {
    /// Until when this account is not to be called, if that is after `now`.
    pub(crate) fn limited(
        &self,
        account: &PlatformName,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let known = self.until.read().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            return None;
        }
        known.get(account.as_str()).copied().filter(|at| *at > now)
    }

    /// Learns what all workers know.
    pub(crate) async fn learn(
        &self,
        broker: &Broker,
        now: DateTime<Utc>,
    ) -> Result<(), BrokerError> {
        let known: HashMap<String, DateTime<Utc>> = broker
            .limited_accounts()
            .await?
            .into_iter()
            .filter_map(|(account, ms)| Some((account, DateTime::from_timestamp_millis(ms)?)))
            .filter(|(_, at)| *at > now)
            .collect();
        *self.until.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// Hears `limited ACCOUNT MS`; whether the message was of this form.
    pub(crate) fn obey(&self, message: &str) -> bool {
        let parts = message
            .strip_prefix("limited ")
            .and_then(|rest| rest.rsplit_once(' '));
        let Some((account, at)) = parts else {
            return false;
        };
        if let Some(at) = at.parse().ok().and_then(DateTime::from_timestamp_millis) {
            self.until
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(account.to_owned(), at);
        }
        true
    }

    /// Tells all workers what a failed call says of its account.
    pub(crate) async fn heed_failure(
        &self,
        provider: &ProviderEntry,
        error: &CallError,
        broker: &Broker,
        now: DateTime<Utc>,
    ) {
        let pause = match error.class {
            ErrorClass::QuotaExhausted => Some(error.retry_after.unwrap_or(SPENT_PAUSE)),
            ErrorClass::RateLimited => error.retry_after.or(Some(Duration::ZERO)),
            _ => None,
        };
        if let Some(pause) = pause {
            self.tell(provider, pause, true, broker, now).await;
        }
    }

    /// Tells all workers when an answer's headers say that nothing is left. They tell when all of it is
    /// there again; some of it is there much sooner, as providers' limits fill up steadily.
    pub(crate) async fn heed_answer(
        &self,
        provider: &ProviderEntry,
        room: &ProviderRoom,
        broker: &Broker,
        now: DateTime<Utc>,
    ) {
        let spent = |left: &RoomLeft| left.remaining == 0;
        let pause = [room.requests, room.tokens]
            .into_iter()
            .flatten()
            .filter(spent)
            .map(|left| left.reset_after.min(EMPTY_PAUSE))
            .max();
        if let Some(pause) = pause.filter(|pause| !pause.is_zero()) {
            self.tell(provider, pause, false, broker, now).await;
        }
    }

    async fn tell(
        &self,
        provider: &ProviderEntry,
        pause: Duration,
        cut: bool,
        broker: &Broker,
        now: DateTime<Utc>,
    ) {
        let pause = TimeDelta::from_std(pause.min(LONGEST_PAUSE)).unwrap_or_default();
        let until = now + pause;
        let account = provider.account.as_str();
        if pause > TimeDelta::zero() {
            self.until
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(account.to_owned())
                .and_modify(|at| *at = (*at).max(until))
                .or_insert(until);
        }
        let slots = format!("slots:{account}");
        let slots = provider
            .limits
            .max_concurrent
            .filter(|_| cut)
            .map(|limit| (slots.as_str(), limit));
        if pause.is_zero() && slots.is_none() {
            return;
        }
        let until_ms = if pause.is_zero() {
            0
        } else {
            until.timestamp_millis()
        };
        metrics::counter!("longshore_accounts_limited_total", "account" => account.to_owned())
            .increment(1);
        if let Err(error) = broker.limited(account, until_ms, slots).await {
            tracing::warn!(
                account,
                "the other workers are not told of the limit: {error}"
            );
        }
    }
}

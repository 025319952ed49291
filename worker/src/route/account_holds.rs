//! Account holds: the times until which accounts are not called, because their providers limit them. All
//! workers share them.

use std::{
    collections::{HashMap, HashSet},
    sync::{PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use longshore_broker::{AccountAccess, AccountHold, Broker, BrokerError, SlotLimit};
use longshore_policy::catalog::{Catalog, ProviderEntry};
use longshore_protocol::{
    call::{CallError, ErrorClass, ReportedLimit, ReportedLimits},
    platform::PlatformName,
};
use longshore_service::instruments::ACCOUNT_HOLDS;

use crate::log::utc_time;

/// The hold after an exhausted quota, if the provider does not say when the quota returns.
const QUOTA_HOLD: Duration = Duration::from_mins(1);

/// The longest hold after an answer whose headers say that nothing remains.
const EMPTY_HOLD: Duration = Duration::from_secs(1);

/// A hold up to this long is how a provider paces its callers, and no news.
const MOMENT: TimeDelta = TimeDelta::seconds(2);

/// The longest hold of all, whatever the provider asks for.
const LONGEST_HOLD: Duration = Duration::from_hours(24);

/// The accounts that are held, and until when.
#[derive(Debug, Default)]
pub(crate) struct AccountHolds {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    until: HashMap<String, DateTime<Utc>>,
    /// The accounts that this worker has put on hold: it logs when their holds begin and end, and the others do not.
    logged: HashSet<String>,
    /// The accounts whose holds are of another key or address than this worker's: of an earlier one, or of workers that
    /// still use it.
    outdated: HashSet<String>,
}

/// Why an account is held.
#[derive(Debug, Clone, Copy)]
struct Because<'a> {
    /// The class of the refusal; `None` after an answer.
    class: Option<ErrorClass>,
    /// What the provider said.
    text: &'a str,
}

impl Known {
    /// Notes a hold. Logs it if it is news: the hold of an account that is called at full pace is its usual course, so
    /// one of a moment is not.
    fn hold(
        &mut self,
        account: &str,
        until: DateTime<Utc>,
        class: Option<ErrorClass>,
        now: DateTime<Utc>,
    ) {
        self.log_released(now);
        let before = self.until.get(account).copied().filter(|at| *at > now);
        let until = before.map_or(until, |at| at.max(until));
        self.until.insert(account.to_owned(), until);
        let Some(class) = class.filter(|_| until - now > MOMENT) else {
            return;
        };
        let is_longer = before.is_none_or(|at| until - at > MOMENT);
        if is_longer {
            self.logged.insert(account.to_owned());
            tracing::warn!(
                account,
                error_class = class.as_str(),
                until = utc_time(until),
                "account held: its provider refused a call for a limit"
            );
        }
    }

    /// Logs the holds that have ended, by time or because somebody released them.
    fn log_released(&mut self, now: DateTime<Utc>) {
        let Self { until, logged, .. } = self;
        logged.retain(|account| {
            let is_held = until.get(account).is_some_and(|at| *at > now);
            if !is_held {
                tracing::info!(account, "account released: its hold has ended");
            }
            is_held
        });
    }
}

impl AccountHolds {
    /// When the hold of this account ends, if it is held.
    pub(crate) fn held_until(
        &self,
        account: &PlatformName,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.until.is_empty() {
            return None;
        }
        let until = known.until.get(account.as_str()).copied();
        until.filter(|at| *at > now)
    }

    /// Reads the holds of all workers from Redis. Releases those of another key or address than the provider has in
    /// `catalog` now.
    pub(crate) async fn refresh(
        &self,
        broker: &Broker,
        catalog: &Catalog,
        now: DateTime<Utc>,
    ) -> Result<(), BrokerError> {
        let holds = broker.limits().account_holds(now).await?;
        let (outdated, valid): (Vec<AccountHold>, Vec<AccountHold>) = holds
            .into_iter()
            .partition(|hold| is_outdated(hold, catalog));
        let held = Known {
            until: valid
                .into_iter()
                .map(|hold| (hold.account.to_string(), hold.until))
                .collect(),
            outdated: outdated
                .iter()
                .map(|hold| hold.account.to_string())
                .collect(),
            logged: HashSet::new(),
        };
        {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            let logged = std::mem::take(&mut known.logged);
            *known = Known { logged, ..held };
            known.log_released(now);
        }
        for hold in outdated {
            release(&hold, broker).await?;
        }
        Ok(())
    }

    /// Applies a hold that another worker published; its end, if `until` has passed. The message does not say of which
    /// key it is, so where another key than this worker's is in use, the next refresh decides.
    pub(crate) fn apply(&self, account: String, until: DateTime<Utc>, now: DateTime<Utc>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if !known.outdated.contains(&account) {
            known.until.insert(account, until);
            known.log_released(now);
        }
    }

    /// Holds the account after a call that its provider refused for a limit.
    pub(crate) async fn hold_after_failure(
        &self,
        provider: &ProviderEntry,
        error: &CallError,
        broker: &Broker,
        now: DateTime<Utc>,
    ) {
        let hold = match error.class {
            ErrorClass::QuotaExhausted => Some(error.retry_after.unwrap_or(QUOTA_HOLD)),
            ErrorClass::RateLimited => error.retry_after.or(Some(Duration::ZERO)),
            _ => None,
        };
        if let Some(hold) = hold {
            let because = Because {
                class: Some(error.class),
                text: &error.message,
            };
            self.publish(provider, hold, because, broker, now).await;
        }
    }

    /// Holds the account after an answer whose headers say that nothing remains. The headers say when all of
    /// it is available again; some of it is available sooner, because providers refill their limits steadily.
    pub(crate) async fn hold_after_answer(
        &self,
        provider: &ProviderEntry,
        room: &ReportedLimits,
        broker: &Broker,
        now: DateTime<Utc>,
    ) {
        let is_used_up = |left: &ReportedLimit| left.remaining == 0;
        let hold = [room.requests, room.tokens]
            .into_iter()
            .flatten()
            .filter(is_used_up)
            .map(|left| left.reset_after.min(EMPTY_HOLD))
            .max();
        if let Some(hold) = hold.filter(|hold| !hold.is_zero()) {
            let because = Because {
                class: None,
                text: "the headers of an answer say that a limit is used up",
            };
            // Boxed: of most answers the headers say nothing of the kind.
            Box::pin(self.publish(provider, hold, because, broker, now)).await;
        }
    }

    /// Holds the account here and publishes the hold and its reason. After a refusal, the account's concurrency limit, if
    /// it has one, is reduced.
    async fn publish(
        &self,
        provider: &ProviderEntry,
        hold: Duration,
        because: Because<'_>,
        broker: &Broker,
        now: DateTime<Utc>,
    ) {
        let hold = TimeDelta::from_std(hold.min(LONGEST_HOLD)).unwrap_or_default();
        let until = now + hold;
        let account = provider.account.as_str();
        if hold > TimeDelta::zero() {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.hold(account, until, because.class, now);
        }
        let slots = format!("slots:{account}");
        let slots = provider
            .limits
            .slots()
            .filter(|_| because.class.is_some())
            .map(|account| SlotLimit {
                meter: &slots,
                limit: account.limit,
                is_implied: account.is_implied,
            });
        if hold.is_zero() && slots.is_none() {
            return;
        }
        let until = (!hold.is_zero()).then_some(until);
        ACCOUNT_HOLDS.add([account], 1);
        if let Err(error) = broker
            .limits()
            .hold_account(
                &provider.account,
                until,
                because.text,
                slots,
                &access_of(provider),
            )
            .await
        {
            tracing::warn!(
                account,
                "account hold not published: {error}; other workers may still call the account"
            );
        }
    }
}

fn access_of(provider: &ProviderEntry) -> AccountAccess {
    AccountAccess {
        provider: provider.name.clone(),
        digest: provider.access_digest(),
    }
}

/// Whether the provider that caused the hold has another key or address now. A provider that cannot be called here says
/// nothing of it.
fn is_outdated(hold: &AccountHold, catalog: &Catalog) -> bool {
    let Some(access) = &hold.access else {
        return false;
    };
    let mut usable = catalog.enabled();
    usable.any(|provider| {
        provider.name == access.provider && provider.access_digest() != access.digest
    })
}

async fn release(hold: &AccountHold, broker: &Broker) -> Result<(), BrokerError> {
    let Some(access) = &hold.access else {
        return Ok(());
    };
    let limits = broker.limits();
    if let Some(due) = limits.release_outdated(&hold.account, access).await? {
        tracing::info!(
            account = %hold.account,
            due,
            "account hold released: {} has another key or address since",
            access.provider
        );
    }
    Ok(())
}

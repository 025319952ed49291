//! What the window of a limit counts. A limit that counts something else than before, or that is new, has to be told
//! what was used before: see [`LimitRecord`](super::LimitRecord).

use std::{collections::BTreeSet, fmt};

use chrono::{DateTime, Utc};
use longshore_protocol::{event::JobLabels, platform::PlatformName};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{AtLimit, Calendar, MeterAmount, Period, Unit};

/// Whose calls a limit counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountedCalls {
    All,
    /// To any of these platforms.
    Platforms(BTreeSet<PlatformName>),
    Tenant(String),
    /// Of each tenant by itself.
    EachTenant,
    Chain(String),
    /// Of each chain by itself.
    EachChain,
}

impl CountedCalls {
    /// Whether each tenant or chain has its own sum.
    pub fn is_of_each(&self) -> bool {
        matches!(self, Self::EachTenant | Self::EachChain)
    }

    /// The sum that a call of such a job to a platform belongs to: a tenant, a chain, or `""` for the only sum. `None`
    /// if the call is not counted.
    pub fn owner<'l>(&self, platform: &str, labels: &'l JobLabels) -> Option<&'l str> {
        let the_only_one = |is_counted: bool| is_counted.then_some("");
        match self {
            Self::All => Some(""),
            Self::Platforms(names) => {
                the_only_one(names.iter().any(|name| name.as_str() == platform))
            }
            Self::Tenant(name) => the_only_one(labels.tenant.as_ref() == Some(name)),
            Self::Chain(id) => the_only_one(labels.chain_id.as_ref() == Some(id)),
            Self::EachTenant => labels.tenant.as_deref(),
            Self::EachChain => labels.chain_id.as_deref(),
        }
    }
}

/// What the window of a limit counts: whose calls, in which unit, from when to when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowDefinition {
    pub calls: CountedCalls,
    pub unit: Unit,
    period: Period,
    time_zone: String,
    reset_at: String,
}

impl WindowDefinition {
    pub(super) fn new(calls: CountedCalls, unit: Unit, period: Period, calendar: Calendar) -> Self {
        Self {
            calls,
            unit,
            period,
            time_zone: calendar.time_zone.name().to_owned(),
            reset_at: calendar.reset_at.format("%H:%M").to_string(),
        }
    }

    /// Identifies the definition among those that a limit has one after the other.
    pub fn id(&self) -> DefinitionId {
        // Of the form that the record has: processes of all releases have to agree.
        let digest = Sha256::digest(serde_json::to_vec(self).unwrap_or_default());
        let [a, b, c, d] = *digest.first_chunk().unwrap_or(&[0; 4]);
        DefinitionId(u32::from_be_bytes([a, b, c, d]))
    }

    /// Whether a window of the other definition has the same meter, start and unit.
    pub(super) fn has_windows_of(&self, other: &Self) -> bool {
        let windows = |of: &Self| {
            (
                of.unit,
                of.period,
                of.time_zone.clone(),
                of.reset_at.clone(),
            )
        };
        windows(self) == windows(other) && !self.calls.is_of_each() && !other.calls.is_of_each()
    }
}

/// Identifies a [`WindowDefinition`], in reservations and meters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefinitionId(u32);

impl fmt::Display for DefinitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The limit of a window, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowLimit {
    /// The meter; without the tenant or chain if each has its own.
    pub name: String,
    pub definition: WindowDefinition,
    /// That of the definition: each call needs it.
    id: DefinitionId,
    calendar: Calendar,
    limit: u64,
    hard: bool,
    at_limit: AtLimit,
}

impl WindowLimit {
    /// A limit at which jobs wait.
    pub(super) fn new(
        name: String,
        definition: WindowDefinition,
        calendar: Calendar,
        limit: u64,
    ) -> Self {
        Self {
            name,
            id: definition.id(),
            definition,
            calendar,
            limit,
            hard: true,
            at_limit: AtLimit::Wait,
        }
    }

    /// The same limit, which only counts unless it is hard, and at which jobs do something else.
    pub(super) fn with(self, hard: bool, at_limit: AtLimit) -> Self {
        Self {
            hard,
            at_limit,
            ..self
        }
    }

    /// The start of the window that contains `now`.
    pub fn window_start(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.calendar.window(self.definition.period, now).start
    }

    /// The meter of an owner: see [`CountedCalls::owner`].
    pub fn meter_of(&self, owner: &str) -> String {
        if self.definition.calls.is_of_each() {
            format!("{}:{owner}", self.name)
        } else {
            self.name.clone()
        }
    }

    /// An amount of zero of an owner's meter.
    pub fn nothing_of(&self, owner: &str, now: DateTime<Utc>) -> MeterAmount {
        self.amount(self.meter_of(owner), 0, now)
    }

    /// An amount of one of its meters.
    pub(super) fn amount(&self, meter: String, amount: u64, now: DateTime<Utc>) -> MeterAmount {
        let window = self.calendar.window(self.definition.period, now);
        MeterAmount::Window {
            meter,
            window: window.id(),
            end: window.end_ms(),
            limit: self.limit,
            amount,
            unit: self.definition.unit,
            hard: self.hard,
            at_limit: self.at_limit,
            definition: Some(self.id),
        }
    }
}

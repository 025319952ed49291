//! The state of meters, for reports; nothing changes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use longshore_policy::limits::{AtLimit, MeterAmount, Meters, Unit};
use redis::{AsyncCommands as _, Value};

use crate::{BrokerError, Limits};

/// The maximum number of meters that one pipeline reads.
const TOGETHER: usize = 1_000;

/// The state of a meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterReport {
    /// Its name: see [`MeterName`](longshore_policy::limits::MeterName).
    pub meter: String,
    /// Jobs that are parked for it.
    pub waiting: u64,
    pub fill: MeterUsage,
}

/// How much of a limit is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeterUsage {
    /// An evenly paced rate.
    Rate {
        /// The maximum units a minute.
        per_minute: u64,
        /// Units that are available now.
        free: u64,
    },
    /// A window.
    Window(WindowUsage),
    /// Slots.
    Slots {
        /// The configured limit.
        limit: u32,
        /// The current limit: lower after a provider's 429s, and near the end of a quota.
        cap: u32,
        /// The slots in use.
        in_use: u64,
    },
}

/// How much of a window is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowUsage {
    pub unit: Unit,
    pub limit: u64,
    /// What ended calls consumed.
    pub used: u64,
    /// What running calls reserve.
    pub held: u64,
    /// When the next window starts; `None` for a window without an end.
    pub resets_at: Option<DateTime<Utc>>,
    /// Whether the limit is never exceeded.
    pub hard: bool,
    /// What happens to jobs that do not fit.
    pub at_limit: AtLimit,
}

impl WindowUsage {
    /// Used and held together.
    pub fn taken(&self) -> u64 {
        self.used.saturating_add(self.held)
    }

    /// What is left; 0 if a soft limit is exceeded.
    pub fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.taken())
    }

    /// What is in use, in whole percent of the limit.
    pub fn percent(&self) -> u64 {
        let percent = u128::from(self.taken()) * 100 / u128::from(self.limit.max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }

    /// The same with `more` units held.
    #[must_use]
    pub fn and(mut self, more: u64) -> Self {
        self.held = self.held.saturating_add(more);
        self
    }
}

/// The stored state of a meter.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    window: Option<i64>,
    used: u64,
    held: u64,
    end_ms: i64,
    full_at_micros: i64,
    cap: Option<f64>,
    waiting: u64,
    in_use: u64,
}

/// `w`, `used`, `held`, `end`, `full_at`, `cap`.
type Fields = (
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<f64>,
);

impl Counts {
    fn new(fields: Fields, waiting: u64, in_use: u64) -> Self {
        let (window, used, held, end, full_at, cap) = fields;
        let sum = |number: Option<i64>| u64::try_from(number.unwrap_or(0)).unwrap_or(0);
        Self {
            window,
            used: sum(used),
            held: sum(held),
            end_ms: end.unwrap_or(0),
            full_at_micros: full_at.unwrap_or(0),
            cap,
            waiting,
            in_use,
        }
    }

    /// Used and held; 0 if the window is over.
    fn sums(&self, now_micros: i64) -> (u64, u64) {
        if self.end_ms != 0 && self.end_ms <= now_micros / 1000 {
            return (0, 0);
        }
        (self.used, self.held)
    }
}

impl Limits<'_> {
    /// The state of the meters of these amounts, in order.
    pub async fn meters(self, amounts: &[MeterAmount]) -> Result<Vec<MeterReport>, BrokerError> {
        let mut names = BTreeSet::new();
        for take in amounts {
            names.insert(take.meter());
            if let MeterAmount::Slots {
                half_of: Some((sum, _)),
                ..
            } = take
            {
                names.insert(sum);
            }
        }
        let names: Vec<&str> = names.into_iter().collect();
        let (mut counts, mut now) = (BTreeMap::new(), 0);
        for some in names.chunks(TOGETHER) {
            now = self.read_counts(some, &mut counts).await?;
        }
        Ok(amounts
            .iter()
            .map(|take| report(take, &counts, now))
            .collect())
    }

    /// The state of all limits of a configuration: its meters, and those budgets of single tenants and chains (found
    /// by `SCAN`) that are in use or have parked jobs.
    pub async fn all_meters(
        self,
        meters: &Meters,
        now: DateTime<Utc>,
    ) -> Result<Vec<MeterReport>, BrokerError> {
        let mut reports = self.meters(&meters.all(now)).await?;
        if meters.has_budgets_of_each() {
            let prefix = self.broker.keys().quota("");
            let keys = self.broker.scan(&format!("{prefix}budget:*")).await?;
            let amounts: Vec<MeterAmount> = keys
                .iter()
                .filter_map(|key| meters.of_each(key.strip_prefix(&prefix)?, now))
                .collect();
            let of_each = self.meters(&amounts).await?;
            let matters = |one: &MeterReport| match &one.fill {
                MeterUsage::Window(fill) => fill.taken() > 0 || one.waiting > 0,
                MeterUsage::Rate { .. } | MeterUsage::Slots { .. } => true,
            };
            reports.extend(of_each.into_iter().filter(matters));
        }
        Ok(reports)
    }

    /// Notes which meters the limits of queues have, so that those are found that they no longer have.
    pub async fn note_queue_meters(self, meters: &BTreeSet<String>) -> Result<(), BrokerError> {
        if meters.is_empty() {
            return Ok(());
        }
        self.broker
            .shared()
            .sadd(self.broker.keys().queue_meters(), meters)
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Deletes the meters of limits of queues that are not among these. Their lanes release all jobs.
    pub async fn keep_queue_meters(self, meters: &BTreeSet<String>) -> Result<(), BrokerError> {
        let key = self.broker.keys().queue_meters();
        let noted: BTreeSet<String> = self
            .broker
            .shared()
            .smembers(&key)
            .await
            .map_err(|source| self.broker.failed(source))?;
        for meter in noted.difference(meters) {
            redis::pipe()
                .atomic()
                .del(self.broker.keys().quota(meter))
                .ignore()
                .srem(&key, meter)
                .ignore()
                .query_async::<()>(&mut self.broker.shared())
                .await
                .map_err(|source| self.broker.failed(source))?;
        }
        Ok(())
    }

    /// Reads the stored state of meters; returns the server's time in microseconds since 1970.
    async fn read_counts<'a>(
        self,
        names: &[&'a str],
        counts: &mut BTreeMap<&'a str, Counts>,
    ) -> Result<i64, BrokerError> {
        let mut pipe = redis::pipe();
        pipe.cmd("TIME");
        for name in names {
            pipe.cmd("HMGET")
                .arg(self.broker.keys().quota(name))
                .arg(&["w", "used", "held", "end", "full_at", "cap"]);
            pipe.cmd("LLEN").arg(self.broker.keys().quota_lane(name));
            pipe.cmd("HLEN").arg(self.broker.keys().slots(name));
        }
        let values: Vec<Value> = pipe
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let mut values = values.into_iter();
        let mut next = || values.next().unwrap_or(Value::Nil);
        let (seconds, micros): (i64, i64) = read("TIME", next())?;
        for name in names {
            let key = self.broker.keys().quota(name);
            let fields: Fields = read(&key, next())?;
            let (waiting, in_use) = (read(&key, next())?, read(&key, next())?);
            counts.insert(name, Counts::new(fields, waiting, in_use));
        }
        Ok(seconds.saturating_mul(1_000_000).saturating_add(micros))
    }
}

fn read<T: redis::FromRedisValue>(key: &str, value: Value) -> Result<T, BrokerError> {
    redis::from_redis_value(value).map_err(|error| BrokerError::foreign(key, error))
}

fn report(take: &MeterAmount, counts: &BTreeMap<&str, Counts>, now_micros: i64) -> MeterReport {
    let of = |meter: &str| counts.get(meter).copied().unwrap_or_default();
    let count = of(take.meter());
    let fill = match take {
        MeterAmount::Rate {
            per_minute, pacing, ..
        } => {
            let ahead = count.full_at_micros.saturating_sub(now_micros);
            MeterUsage::Rate {
                per_minute: *per_minute,
                free: pacing.free(u64::try_from(ahead).unwrap_or(0)),
            }
        }
        MeterAmount::Window {
            window,
            end,
            limit,
            unit,
            hard,
            at_limit,
            ..
        } => {
            let (used, held) = if count.window == Some(*window) {
                count.sums(now_micros)
            } else {
                (0, 0)
            };
            MeterUsage::Window(WindowUsage {
                unit: *unit,
                limit: *limit,
                used,
                held,
                resets_at: end.and_then(DateTime::from_timestamp_millis),
                hard: *hard,
                at_limit: *at_limit,
            })
        }
        MeterAmount::Slots { limit, half_of, .. } => {
            let sums = half_of.as_ref().map(|(meter, most)| {
                let (used, held) = of(meter).sums(now_micros);
                most.saturating_sub(used).saturating_sub(held) / 2
            });
            MeterUsage::Slots {
                limit: *limit,
                cap: cap(*limit, count.cap, sums),
                in_use: count.in_use,
            }
        }
    };
    MeterReport {
        meter: take.meter().to_owned(),
        waiting: count.waiting,
        fill,
    }
}

/// The current number of slots, as `slot_cap` in `meters.lua` computes it.
fn cap(limit: u32, adapted: Option<f64>, half: Option<u64>) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float becomes the nearest number that there is"
    )]
    let adapted = adapted.map_or(limit, |cap| cap as u32);
    let half = half.map_or(limit, |half| u32::try_from(half).unwrap_or(limit));
    limit.min(adapted).min(half).max(1)
}

#[cfg(test)]
mod tests;

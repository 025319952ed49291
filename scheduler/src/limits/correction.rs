//! By how much the windows of a limit are wrong.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use longshore_broker::{Broker, BrokerError, JournaledAttempt, OpenWindow, WindowCorrection};
use longshore_ledger::{UsageBy, WindowCalls};
use longshore_policy::limits::{
    CountedCalls, LimitRecord, MeterAmount, UncountedCalls, Unit, WindowLimit,
};
use longshore_protocol::event::{AttemptRecord, JobLabels};

use super::FollowError;
use crate::duty::Background;

/// The most tenants or chains whose sums are corrected, those that used most.
const MOST_OWNERS: u32 = 10_000;

/// A chain without a call for so long is not corrected: there may be millions, and hardly one runs on.
const CHAIN_RESTS: TimeDelta = TimeDelta::days(1);

/// How long a correction waits for the record of calls that have ended. Jobs wait for it, at most a minute.
const RECORDED_WITHIN: Duration = Duration::from_secs(30);

/// The time between two looks at what is recorded.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A call in flight.
pub(super) struct CallInFlight {
    journaled: JournaledAttempt,
    attempt: AttemptRecord,
    labels: JobLabels,
}

impl CallInFlight {
    /// Whether its reservation is in the window of a meter that began at `window` (ms).
    pub(super) fn is_counted_in(&self, meter: &str, window: i64) -> bool {
        self.journaled.is_counted_in(meter, window)
    }
}

/// The calls in flight at a time, and whether the ledger has all others that began before it.
pub(super) struct Unended {
    pub(super) calls: Vec<CallInFlight>,
    pub(super) others_are_recorded: bool,
}

impl Unended {
    /// Of the calls that began before `before`. Waits for the records of those that have ended, but not for long: no
    /// events are recorded while Postgres is away.
    pub(super) async fn read(broker: &Broker, before: DateTime<Utc>) -> Result<Self, BrokerError> {
        let calls = calls_in_flight(broker, before).await?;
        let read_ms = broker.server().time_ms().await?;
        let last_look = Instant::now() + RECORDED_WITHIN;
        loop {
            let oldest = broker.events().oldest_unrecorded().await?;
            let others_are_recorded = oldest.is_none_or(|oldest| oldest > read_ms);
            if others_are_recorded || Instant::now() >= last_look {
                return Ok(Self {
                    calls,
                    others_are_recorded,
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// The calls in flight that began before `before`.
pub(super) async fn calls_in_flight(
    broker: &Broker,
    before: DateTime<Utc>,
) -> Result<Vec<CallInFlight>, BrokerError> {
    let (mut cursor, mut found) = (0, Vec::new());
    loop {
        let (next, page) = broker.deliveries().journal_page(cursor).await?;
        found.extend(page.into_iter().filter_map(|journaled| {
            let mut attempt = journaled.event_if_lost.parse().ok()?.attempt?;
            let labels = attempt.labels.take()?;
            (attempt.started_at < before).then_some(CallInFlight {
                journaled,
                attempt: *attempt,
                labels,
            })
        }));
        cursor = next;
        if cursor == 0 {
            return Ok(found);
        }
    }
}

/// What is wrong with the windows of a limit that are open now.
pub(super) struct Correction<'a> {
    background: &'a Background,
    limit: &'a WindowLimit,
    record: &'a LimitRecord,
    now: DateTime<Utc>,
    start: DateTime<Utc>,
}

impl<'a> Correction<'a> {
    pub(super) fn new(
        background: &'a Background,
        limit: &'a WindowLimit,
        record: &'a LimitRecord,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            background,
            limit,
            record,
            now,
            start: limit.window_start(now),
        }
    }

    /// The corrections of all windows: by the ledger, and by the calls that are in flight. A call of these that has ended
    /// meanwhile counts as if it were still in flight.
    pub(super) async fn windows(
        &self,
        in_flight: &[CallInFlight],
    ) -> Result<Vec<(MeterAmount, WindowCorrection)>, FollowError> {
        let limits = self.background.broker.limits();
        let open = limits.open_windows(self.limit, self.now).await?;
        let mut windows: BTreeMap<String, WindowCorrection> = open
            .iter()
            .map(|window| (window.owner.clone(), WindowCorrection::default()))
            .collect();
        if !self.limit.definition.calls.is_of_each() {
            windows.entry(String::new()).or_default();
        }
        for uncounted in self.record.uncounted(self.start) {
            let calls = WindowCalls {
                except: in_flight
                    .iter()
                    .map(|call| call.attempt.attempt_id)
                    .collect(),
                ..calls_of(&uncounted, &open)
            };
            self.add_recorded(&calls, uncounted.is_excess, &mut windows)
                .await?;
        }
        for call in in_flight {
            self.add_in_flight(call, &mut windows);
        }
        Ok(windows
            .into_iter()
            .map(|(owner, by)| (self.limit.nothing_of(&owner, self.now), by))
            .collect())
    }

    async fn add_recorded(
        &self,
        calls: &WindowCalls,
        is_excess: bool,
        windows: &mut BTreeMap<String, WindowCorrection>,
    ) -> Result<(), FollowError> {
        let ledger = &self.background.ledger;
        let sums = ledger.window_usage(calls, MOST_OWNERS).await?;
        if sums.len() >= usize::try_from(MOST_OWNERS).unwrap_or(usize::MAX) {
            tracing::warn!(
                limit = self.limit.name,
                "only the {MOST_OWNERS} sums that used most start from what the ledger knows"
            );
        }
        for sum in sums {
            let units = match self.limit.definition.unit {
                Unit::Requests => sum.requests,
                Unit::NanoUsd => sum.nano_usd,
            };
            let units = i64::try_from(units).unwrap_or(i64::MAX);
            let units = if is_excess { -units } else { units };
            let window = windows.entry(sum.owner).or_default();
            window.used = window.used.saturating_add(units);
        }
        Ok(())
    }

    /// Holds what a call reserved that the window does not know.
    fn add_in_flight(&self, call: &CallInFlight, windows: &mut BTreeMap<String, WindowCorrection>) {
        let CallInFlight {
            journaled,
            attempt,
            labels,
        } = call;
        let WindowLimit { definition, .. } = self.limit;
        if attempt.started_at < self.start {
            return;
        }
        let Some(owner) = definition.calls.owner(&attempt.platform, labels) else {
            return;
        };
        let meter = self.limit.meter_of(owner);
        if journaled.is_counted_in(&meter, self.start.timestamp_millis()) {
            return;
        }
        let units = match definition.unit {
            Unit::Requests => 1,
            Unit::NanoUsd => i64::try_from(attempt.reserved_usd.nanos_up()).unwrap_or(i64::MAX),
        };
        let window = windows.entry(owner.to_owned()).or_default();
        window.held = window.held.saturating_add(units);
    }
}

/// What to ask the ledger.
fn calls_of(uncounted: &UncountedCalls<'_>, open: &[OpenWindow]) -> WindowCalls {
    let (mut platforms, mut tenant, mut chain) = (None, None, None);
    let mut by = UsageBy::Total;
    match uncounted.calls {
        CountedCalls::All => {}
        CountedCalls::Platforms(names) => {
            platforms = Some(names.iter().map(|name| name.as_str().to_owned()).collect());
        }
        CountedCalls::Tenant(name) => tenant = Some(name.clone()),
        CountedCalls::Chain(id) => chain = Some(id.clone()),
        CountedCalls::EachTenant => by = UsageBy::Tenant,
        CountedCalls::EachChain => {
            by = UsageBy::Chain {
                since: uncounted.to - CHAIN_RESTS,
            }
        }
    }
    let ends = open
        .iter()
        .filter_map(|window| Some((window.owner.clone(), window.current_since()?)));
    WindowCalls {
        from: uncounted.from,
        to: uncounted.to,
        platforms,
        tenant,
        chain,
        by,
        ends: ends.collect(),
        except: Vec::new(),
    }
}

//! Follows what the limits of windows count.
//!
//! A limit that is introduced or changed in the middle of a window starts from what the ledger knows: the windows of its
//! meters are corrected by the calls that began before, and its record says since when it counts. Calls that were still
//! running then, or not recorded yet, are added as they reach the ledger; until then, the window holds what they reserved.
//! Jobs wait for the first correction of a limit of money (`reservations.lua`).

mod correction;
mod queues;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use longshore_broker::{BrokerError, OpenWindow, StoredLimitRecord};
use longshore_ledger::LedgerError;
use longshore_policy::limits::{LimitRecord, Meters, WindowDefinition, WindowLimit};
use longshore_service::backoff::{Backoff, Schedule};

use self::{
    correction::{CallInFlight, Correction, Unended, calls_in_flight},
    queues::QueueMeters,
};
use crate::duty::{Background, Timer};

/// Every process has applied a change of the configuration after this time.
const APPLIED_AFTER: Duration = Duration::from_secs(2);

/// Calls that a process drafted before it applied the change are journaled after this time.
const JOURNALED_AFTER: Duration = Duration::from_secs(1);

/// A limit waits so long for the end of calls that only its earlier definition counts: as long as jobs wait for the limit
/// (`reservations.lua`), which would otherwise keep it waiting for ever.
const OTHERS_END_WITHIN: Duration = Duration::from_mins(1);

/// The pauses between two corrections of a limit.
const PAUSES: Schedule = Schedule::exact(Duration::from_secs(1), Duration::from_secs(30));

/// The pauses after failures.
const RETRIES: Schedule = Schedule::jittered(Duration::from_secs(1), Duration::from_secs(30));

/// Why windows stay as they are.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

type Records = BTreeMap<String, StoredLimitRecord>;

/// Corrects the windows of limits that are new or changed, every `interval`.
pub(crate) async fn follow_limits(background: Background, interval: Duration) {
    let (mut follower, mut timer) = (Follower::default(), Timer::every(interval));
    let mut retries = Backoff::new(RETRIES);
    while background.next_run(&mut timer).await {
        match background
            .stop
            .run_until_cancelled(follower.run(&background))
            .await
        {
            None => return,
            Some(Ok(())) => retries.reset(),
            Some(Err(error)) => {
                let delay = retries.next_delay();
                tracing::warn!("correction of new limits failed: {error}; retrying in {delay:?}");
                let wait = tokio::time::sleep(delay);
                if background.stop.run_until_cancelled(wait).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// What this scheduler knows of limits beyond their records.
#[derive(Default)]
struct Follower {
    /// Limits whose record says something else than the configuration: since when.
    noticed: BTreeMap<String, (WindowDefinition, Instant)>,
    /// Whether it has read the records once.
    has_run: bool,
    /// Limits some of whose calls are not in the ledger yet.
    incomplete: BTreeMap<String, Incomplete>,
    queues: QueueMeters,
}

/// A limit some of whose earlier calls are not in the ledger yet.
struct Incomplete {
    due: Instant,
    pauses: Backoff,
}

impl Incomplete {
    fn new() -> Self {
        let mut new = Self {
            due: Instant::now(),
            pauses: Backoff::new(PAUSES),
        };
        new.delay();
        new
    }

    fn delay(&mut self) {
        self.due = Instant::now() + self.pauses.next_delay();
    }
}

impl Follower {
    async fn run(&mut self, background: &Background) -> Result<(), FollowError> {
        let config = background.config.current();
        let meters = Meters::new(&config.catalog, &config.budgets, &config.queue_limits);
        self.queues.follow(&background.broker, &meters).await?;
        let limits = meters.window_limits();
        let records = background.broker.limits().records().await?;
        end_removed(background, &limits, &records).await?;
        self.introduce(background, &limits, &records).await?;
        for limit in &limits {
            if let Some(read) = records.get(&limit.name)
                && !read.record.is_exact
                && read.record.definition() == Some(&limit.definition)
            {
                self.complete(background, limit, read).await?;
            }
        }
        Ok(())
    }

    /// Introduces the limits that are new or count something else than before.
    async fn introduce(
        &mut self,
        background: &Background,
        limits: &[WindowLimit],
        records: &Records,
    ) -> Result<(), FollowError> {
        let may_be_unused = !self.has_run && records.is_empty();
        let unused_at = if may_be_unused {
            unused_at(background).await?
        } else {
            None
        };
        self.has_run = true;
        let due = self.due(limits, records, unused_at.is_some());
        if due.is_empty() {
            return Ok(());
        }
        let from = if let Some(at) = unused_at {
            at
        } else {
            let now = server_time(background).await?;
            tokio::time::sleep(JOURNALED_AFTER).await;
            now
        };
        let unended = Unended::read(&background.broker, from).await?;
        for limit in due {
            let read = records.get(&limit.name);
            let open = background.broker.limits().open_windows(limit, from).await?;
            let noticed = self.noticed.get(&limit.name);
            let may_wait = noticed.is_some_and(|(_, since)| since.elapsed() < OTHERS_END_WITHIN);
            if may_wait
                && read.is_none()
                && has_unrecorded_calls_of_others(limit, &open, from, &unended)
            {
                continue;
            }
            introduce(background, limit, read, from, &open, &unended.calls).await?;
            self.noticed.remove(&limit.name);
            self.incomplete
                .insert(limit.name.clone(), Incomplete::new());
        }
        Ok(())
    }

    /// The limits that differ from their records, once every process has applied the change; in an unused namespace at
    /// once.
    fn due<'l>(
        &mut self,
        limits: &'l [WindowLimit],
        records: &Records,
        is_unused: bool,
    ) -> Vec<&'l WindowLimit> {
        let is_followed = |limit: &WindowLimit| {
            let read = records.get(&limit.name);
            read.is_some_and(|read| read.record.definition() == Some(&limit.definition))
        };
        let differing: Vec<&WindowLimit> =
            limits.iter().filter(|limit| !is_followed(limit)).collect();
        let names: BTreeSet<&str> = differing.iter().map(|limit| limit.name.as_str()).collect();
        self.noticed.retain(|name, _| names.contains(name.as_str()));
        let now = Instant::now();
        differing
            .into_iter()
            .filter(|limit| {
                let noticed = self.noticed.entry(limit.name.clone());
                let (definition, since) =
                    noticed.or_insert_with(|| (limit.definition.clone(), now));
                if *definition != limit.definition {
                    (*definition, *since) = (limit.definition.clone(), now);
                }
                is_unused || now.duration_since(*since) >= APPLIED_AFTER
            })
            .collect()
    }

    /// Corrects the windows of a limit again, if it is time to. The last time is when every call that began before the
    /// limit counted has ended and is recorded.
    async fn complete(
        &mut self,
        background: &Background,
        limit: &WindowLimit,
        read: &StoredLimitRecord,
    ) -> Result<(), FollowError> {
        let state = self
            .incomplete
            .entry(limit.name.clone())
            .or_insert_with(Incomplete::new);
        if Instant::now() < state.due {
            return Ok(());
        }
        state.delay();
        let counts_since = read.record.counts_since();
        let unended = Unended::read(&background.broker, counts_since).await?;
        if !unended.others_are_recorded {
            // The window holds what they reserved.
            return Ok(());
        }
        let is_exact = unended.calls.is_empty();
        let record = if is_exact {
            read.record.exact()
        } else {
            read.record.clone()
        };
        let now = server_time(background).await?;
        let correction = Correction::new(background, limit, &record, now);
        let windows = correction.windows(&unended.calls).await?;
        background
            .broker
            .limits()
            .correct_windows(&limit.name, Some(read), &record, &windows)
            .await?;
        if is_exact {
            self.incomplete.remove(&limit.name);
        }
        Ok(())
    }
}

/// The time by the clock of Redis at which the namespace was still unused: without calls, running or recorded. `None` if it
/// is in use.
async fn unused_at(background: &Background) -> Result<Option<DateTime<Utc>>, FollowError> {
    let now = server_time(background).await?;
    let is_unused = background
        .broker
        .events()
        .oldest_unrecorded()
        .await?
        .is_none()
        && !background.ledger.has_attempts().await?
        && calls_in_flight(&background.broker, now).await?.is_empty();
    Ok(is_unused.then_some(now))
}

/// Notes the end of limits that the configuration no longer has: they miss calls if they return.
async fn end_removed(
    background: &Background,
    limits: &[WindowLimit],
    records: &Records,
) -> Result<(), FollowError> {
    for (name, read) in records {
        if read.record.definition().is_some() && !limits.iter().any(|limit| limit.name == *name) {
            let now = server_time(background).await?;
            let record = LimitRecord::changed(Some(&read.record), None, now);
            let stored = background.broker.limits();
            stored
                .correct_windows(name, Some(read), &record, &[])
                .await?;
        }
    }
    Ok(())
}

/// Has a limit count from `from` on, and corrects its windows by the calls that began before.
async fn introduce(
    background: &Background,
    limit: &WindowLimit,
    read: Option<&StoredLimitRecord>,
    from: DateTime<Utc>,
    open: &[OpenWindow],
    in_flight: &[CallInFlight],
) -> Result<(), FollowError> {
    // A worker of an earlier release opened the window: the limit is not new.
    let is_known = read.is_none() && open.iter().any(|window| window.since.is_none());
    // Workers that did not wait have counted since then.
    let begun = if limit.definition.calls.is_of_each() {
        None
    } else {
        open.iter().find_map(OpenWindow::current_since)
    };
    let counts_since = read.map_or(DateTime::UNIX_EPOCH, |read| read.record.counts_since());
    let from = begun.filter(|begun| *begun > counts_since).unwrap_or(from);
    let definition = limit.definition.clone();
    let record = if is_known {
        LimitRecord::complete(definition)
    } else {
        LimitRecord::changed(read.map(|read| &read.record), Some(definition), from)
    };
    let correction = Correction::new(background, limit, &record, from);
    let windows = correction.windows(in_flight).await?;
    let corrected = windows.iter().filter(|(_, by)| by.used != 0).count();
    background
        .broker
        .limits()
        .correct_windows(&limit.name, read, &record, &windows)
        .await?;
    if corrected > 0 {
        tracing::info!(
            limit = limit.name,
            windows = corrected,
            "limit introduced in the middle of its window; it starts from what the ledger knows"
        );
    }
    Ok(())
}

/// Whether a window has calls that the limit does not count, because workers had another configuration before the first
/// scheduler led, and they are not in the ledger yet. The window counts anew from the ledger, so such a call would count
/// there and once more when it ends.
fn has_unrecorded_calls_of_others(
    limit: &WindowLimit,
    open: &[OpenWindow],
    now: DateTime<Utc>,
    unended: &Unended,
) -> bool {
    let window = limit.window_start(now).timestamp_millis();
    open.iter()
        .filter(|window| window.counts_others())
        .map(|window| limit.meter_of(&window.owner))
        .any(|meter| {
            !unended.others_are_recorded
                || unended
                    .calls
                    .iter()
                    .any(|call| call.is_counted_in(&meter, window))
        })
}

async fn server_time(background: &Background) -> Result<DateTime<Utc>, BrokerError> {
    let now = background.broker.server().time_ms().await?;
    Ok(DateTime::from_timestamp_millis(now).unwrap_or_default())
}

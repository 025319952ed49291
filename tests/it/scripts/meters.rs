//! Limits for tests, and the amounts that calls reserve of them.

use std::time::Duration;

use longshore_broker::{
    AttemptStart, Begun, Consumed, DeliveredEntry, Delivery, Ending, Fence, MeterAmounts,
    Reservation, ReservationCandidate, Reserved, Turn,
};
use longshore_policy::limits::{AtLimit, MeterAmount, Pacing, Unit};
use longshore_protocol::{
    checkpoint::Checkpoint,
    envelope::Concurrency,
    id::{AttemptId, EntryId, JobId},
    serialized::Serialized,
};

use super::fixture::{BEGUN, Fixture, checkpoint_of, ending, stored};

/// A window that lasts longer than the tests.
pub(super) const NOW: (i64, i64) = (2_000, 4_102_444_800_000);

/// The window before it, which has ended.
pub(super) const BEFORE: (i64, i64) = (1_000, 2_000);

/// A delivered job with its attempt.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) delivery: Delivery,
    pub(super) job: JobId,
    pub(super) attempt: AttemptId,
}

/// One of a limit of requests per minute.
pub(super) fn requests(per_minute: u64) -> MeterAmount {
    MeterAmount::Rate {
        meter: "rpm:m".to_owned(),
        per_minute,
        pacing: Pacing::requests(per_minute),
        amount: 1,
    }
}

/// `amount` of a limit of tokens per minute.
pub(super) fn tokens(per_minute: u64, amount: u64) -> MeterAmount {
    MeterAmount::Rate {
        meter: "tpm:m".to_owned(),
        per_minute,
        pacing: Pacing::tokens(per_minute),
        amount,
    }
}

/// `amount` of a window's limit.
pub(super) fn window(meter: &str, window: (i64, i64), limit: u64, amount: u64) -> MeterAmount {
    MeterAmount::Window {
        meter: meter.to_owned(),
        window: window.0,
        end: Some(window.1),
        limit,
        amount,
        unit: Unit::NanoUsd,
        hard: true,
        at_limit: AtLimit::Wait,
        definition: None,
    }
}

/// `amount` of a budget that lasts longer than the tests.
pub(super) fn budget(limit: u64, amount: u64) -> MeterAmount {
    window("budget:b", NOW, limit, amount)
}

/// Makes a window's limit soft: it never refuses.
pub(super) fn soft(take: MeterAmount) -> MeterAmount {
    with(take, |hard, _, _| *hard = false)
}

/// Makes a job without room a dead letter.
pub(super) fn or_die(take: MeterAmount) -> MeterAmount {
    with(take, |_, at_limit, _| *at_limit = AtLimit::DeadLetter)
}

/// Makes a window endless.
pub(super) fn endless(take: MeterAmount) -> MeterAmount {
    with(take, |_, _, end| *end = None)
}

fn with(
    mut take: MeterAmount,
    change: impl FnOnce(&mut bool, &mut AtLimit, &mut Option<i64>),
) -> MeterAmount {
    if let MeterAmount::Window {
        hard,
        at_limit,
        end,
        ..
    } = &mut take
    {
        change(hard, at_limit, end);
    }
    take
}

/// One of `limit` slots.
pub(super) fn slots(limit: u32) -> MeterAmount {
    slots_of("slots:m", limit)
}

/// One of `limit` slots of a meter.
pub(super) fn slots_of(meter: &str, limit: u32) -> MeterAmount {
    MeterAmount::Slots {
        meter: meter.to_owned(),
        limit,
        half_of: None,
    }
}

/// The usage of an answered call.
pub(super) fn consumed(tokens: u64, nanos: u64) -> Consumed {
    Consumed::Known {
        tokens,
        requests: 1,
        nanos,
        answered: true,
    }
}

impl Fixture {
    /// A new job delivered to worker `a`, with an attempt that has not begun.
    pub(super) async fn call(&self) -> Call {
        self.call_of("a").await
    }

    /// A new job delivered to a worker, with an attempt that has not begun.
    pub(super) async fn call_of(&self, worker: &str) -> Call {
        let (held, job) = self.job(worker).await;
        Call {
            delivery: held,
            job,
            attempt: AttemptId::new(),
        }
    }

    /// Begins a new job's call.
    pub(super) async fn try_to_take(&self, amounts: &[MeterAmount]) -> (Call, Begun) {
        let call = self.call().await;
        let begun = self.begin_taking(&call, amounts, false).await;
        (call, begun)
    }

    /// Begins a new job's call, which finds room at once.
    pub(super) async fn taking(&self, amounts: &[MeterAmount]) -> Call {
        let (call, begun) = self.try_to_take(amounts).await;
        assert_eq!(begun, BEGUN);
        call
    }

    /// Begins a call that reserves these amounts.
    pub(super) async fn begin_taking(
        &self,
        call: &Call,
        amounts: &[MeterAmount],
        waited: bool,
    ) -> Begun {
        let beginning = AttemptStart {
            job: &call.job,
            attempt: call.attempt,
            event_if_lost: stored(&format!("lost {}", call.attempt)),
            concurrency: None,
            checkpoint: Some(&checkpoint_of(&call.job, 0)),
            amounts: &MeterAmounts::new(amounts),
            waited,
        };
        let begun = self
            .broker
            .deliveries()
            .begin(&call.delivery, &beginning)
            .await
            .unwrap();
        match begun {
            Begun::Yes(turn) => Begun::Yes(self.without_time(turn, amounts).await),
            other => other,
        }
    }

    /// Removes the reservation's time from a turn after checking it: the script returns one, in the past, if and only if
    /// the attempt counts in a window.
    async fn without_time(&self, turn: Turn, amounts: &[MeterAmount]) -> Turn {
        let counts = amounts
            .iter()
            .any(|amount| matches!(amount, MeterAmount::Window { .. }));
        assert_eq!(turn.reserved_at.is_some(), counts, "{turn:?} {amounts:?}");
        if let Some(at) = turn.reserved_at {
            let now = self.broker.server().time_ms().await.unwrap();
            let age = now - at.timestamp_millis();
            assert!((0..60_000).contains(&age), "{age} ms");
        }
        Turn {
            reserved_at: None,
            ..turn
        }
    }

    /// Reserves the first of these candidates that has room.
    pub(super) async fn reserve(
        &self,
        call: &Call,
        candidates: &[Vec<MeterAmount>],
        waited: bool,
    ) -> Reserved {
        self.reserve_with(call, None, candidates, waited).await
    }

    /// Reserves for a job with a concurrency key.
    pub(super) async fn reserve_keyed(
        &self,
        call: &Call,
        key: &Concurrency,
        amounts: Vec<MeterAmount>,
    ) -> Reserved {
        self.reserve_with(call, Some(key), &[amounts], false).await
    }

    async fn reserve_with(
        &self,
        call: &Call,
        concurrency: Option<&Concurrency>,
        candidates: &[Vec<MeterAmount>],
        waited: bool,
    ) -> Reserved {
        let offers: Vec<ReservationCandidate> = candidates
            .iter()
            .enumerate()
            .map(|(number, amounts)| ReservationCandidate {
                event_if_lost: Some(Serialized::from_stored(format!(
                    "lost {number} {}",
                    call.attempt
                ))),
                amounts: MeterAmounts::new(amounts),
                spare: false,
            })
            .collect();
        let text = checkpoint_of(&call.job, 0);
        let reservation = Reservation {
            job: &call.job,
            attempt: call.attempt,
            concurrency,
            checkpoint_for_key: Some(&text),
            checkpoint_for_limit: Some(&text),
            waited,
            candidates: &offers,
        };
        let reserved = self
            .broker
            .deliveries()
            .reserve(&call.delivery, &reservation)
            .await
            .unwrap();
        match reserved {
            Reserved::Yes(number, turn) => {
                let amounts = candidates.get(number).unwrap();
                Reserved::Yes(number, self.without_time(turn, amounts).await)
            }
            other => other,
        }
    }

    /// A new job that finds no room and is parked.
    pub(super) async fn waiter(&self, amounts: Vec<MeterAmount>) -> JobId {
        let call = self.call().await;
        let reserved = self.reserve(&call, &[amounts], false).await;
        assert!(matches!(reserved, Reserved::Waits { .. }), "{reserved:?}");
        call.job
    }

    /// Reads the released jobs for `worker`, in order.
    pub(super) async fn release_to(&self, worker: &str) -> Vec<Call> {
        if self.ask::<u64>(&["XLEN", &self.ready_stream()]).await == 0 {
            return Vec::new();
        }
        let delivered = self.read(worker, 1000).await;
        delivered.into_iter().map(resumed).collect()
    }

    /// Settles a call's job.
    pub(super) async fn end(&self, call: &Call, consumed: Consumed) {
        let ending = Ending {
            consumed,
            has_stored_state: true,
            ..ending(call.attempt)
        };
        let fence = self
            .broker
            .deliveries()
            .settle(&call.delivery, &call.job, &ending)
            .await
            .unwrap();
        assert_eq!(fence, Fence::Held);
    }

    /// The used and reserved amounts of a window.
    pub(super) async fn sums(&self, meter: &str) -> (i64, i64) {
        let meter = self.hash(&format!("quota:{meter}")).await;
        let sum = |name: &str| meter.get(name).map_or(0, |text| text.parse().unwrap());
        (sum("used"), sum("held"))
    }

    /// When the bucket of a rate is full again, in µs.
    pub(super) async fn full_at(&self, meter: &str) -> i64 {
        let key = self.key(&format!("quota:{meter}"));
        self.ask(&["HGET", &key, "full_at"]).await
    }

    /// The holders of the slots `slots:m`.
    pub(super) async fn holders(&self) -> Vec<EntryId> {
        let entry_ids = self.hash_keys("slots:slots:m").await;
        entry_ids
            .iter()
            .map(|entry_id| EntryId::from_stored(entry_id))
            .collect()
    }

    /// The jobs parked by a limit, in order.
    pub(super) async fn lane(&self, meter: &str) -> Vec<String> {
        let key = self.broker.keys().quota_lane(meter);
        let entry_ids: Vec<String> = self.ask(&["LRANGE", &key, "0", "-1"]).await;
        let mut jobs = Vec::new();
        for entry_id in entry_ids {
            let parked = EntryId::from_stored(&entry_id);
            let parked = self.broker.lanes().parked_entry(&parked).await.unwrap();
            // Of a job that was cancelled there, the entry id is left.
            jobs.push(parked.map_or(entry_id, |parked| parked.checkpoint.id.to_string()));
        }
        jobs
    }

    /// When a lane is scanned again (ms).
    pub(super) async fn gate(&self, meter: &str) -> Option<f64> {
        self.ask(&["ZSCORE", &self.key("lanes:due"), meter]).await
    }

    /// Opens a lane's gate, as if its time had come.
    pub(super) async fn open(&self, meter: &str) {
        let () = self
            .ask(&["ZADD", &self.key("lanes:due"), "XX", "0", meter])
            .await;
    }

    /// Opens a lane's gate, releases jobs, and returns how many.
    pub(super) async fn open_and_let_go(&self, meter: &str) -> usize {
        self.open(meter).await;
        self.broker.lanes().release(1000).await.unwrap().jobs
    }
}

/// A released job with a new attempt.
fn resumed(delivered: DeliveredEntry) -> Call {
    let text = delivered.checkpoint.expect("something is remembered of it");
    let checkpoint: Checkpoint = text.parse().unwrap();
    Call {
        delivery: delivered.delivery,
        job: checkpoint.id,
        attempt: AttemptId::new(),
    }
}

/// The ids of calls' jobs.
pub(super) fn ids(calls: &[Call]) -> Vec<&str> {
    calls.iter().map(|call| call.job.as_str()).collect()
}

/// Asserts a wait of about this long, and no longer.
pub(super) fn assert_wait(begun: Begun, about: Duration) {
    let wait = match begun {
        Begun::Yes(turn) => Some(turn.wait),
        _ => None,
    };
    let wait = wait.expect("it has its turn");
    // The test may be descheduled between two calls.
    let least = about.saturating_sub(Duration::from_millis(500));
    assert!((least..=about).contains(&wait), "{wait:?} for {about:?}");
}

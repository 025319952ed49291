//! Limits for tests, and the amounts that calls reserve of them.

use std::time::Duration;

use longshore_broker::{
    Beginning, Begun, Delivered, Ending, Fence, Held, Offer, Reservation, Reserved, Spent, Takes,
};
use longshore_policy::limits::{AtLimit, Pacing, Take, Unit};
use longshore_protocol::{
    checkpoint::Resume,
    envelope::Concurrency,
    id::{AttemptId, JobId, Place},
};

use super::room::{BEGUN, Room, ending, resume};

/// A window that lasts longer than the tests.
pub(super) const NOW: (i64, i64) = (2_000, 4_102_444_800_000);

/// The window before it, which has ended.
pub(super) const BEFORE: (i64, i64) = (1_000, 2_000);

/// A delivered job with its attempt.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) held: Held,
    pub(super) job: JobId,
    pub(super) attempt: AttemptId,
}

/// One of a limit of requests per minute.
pub(super) fn requests(per_minute: u64) -> Take {
    Take::Rate {
        meter: "rpm:m".to_owned(),
        per_minute,
        pacing: Pacing::requests(per_minute),
        amount: 1,
    }
}

/// `amount` of a limit of tokens per minute.
pub(super) fn tokens(per_minute: u64, amount: u64) -> Take {
    Take::Rate {
        meter: "tpm:m".to_owned(),
        per_minute,
        pacing: Pacing::tokens(per_minute),
        amount,
    }
}

/// `amount` of a window's limit.
pub(super) fn window(meter: &str, window: (i64, i64), limit: u64, amount: u64) -> Take {
    Take::Window {
        meter: meter.to_owned(),
        window: window.0,
        end: Some(window.1),
        limit,
        amount,
        unit: Unit::NanoUsd,
        hard: true,
        at_limit: AtLimit::Wait,
    }
}

/// `amount` of a budget that lasts longer than the tests.
pub(super) fn budget(limit: u64, amount: u64) -> Take {
    window("budget:b", NOW, limit, amount)
}

/// Makes a window's limit soft: it never refuses.
pub(super) fn soft(take: Take) -> Take {
    with(take, |hard, _, _| *hard = false)
}

/// Makes a job without room a dead letter.
pub(super) fn or_die(take: Take) -> Take {
    with(take, |_, at_limit, _| *at_limit = AtLimit::DeadLetter)
}

/// Makes a window endless.
pub(super) fn endless(take: Take) -> Take {
    with(take, |_, _, end| *end = None)
}

fn with(mut take: Take, change: impl FnOnce(&mut bool, &mut AtLimit, &mut Option<i64>)) -> Take {
    if let Take::Window {
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
pub(super) fn places(limit: u32) -> Take {
    Take::Slots {
        meter: "slots:m".to_owned(),
        limit,
        half_of: None,
    }
}

/// The usage of an answered call.
pub(super) fn spent(tokens: u64, nanos: u64) -> Spent {
    Spent::Known {
        tokens,
        requests: 1,
        nanos,
        answered: true,
    }
}

impl Room {
    /// A new job delivered to worker `a`, with an attempt that has not begun.
    pub(super) async fn call(&self) -> Call {
        self.call_of("a").await
    }

    /// A new job delivered to a worker, with an attempt that has not begun.
    pub(super) async fn call_of(&self, worker: &str) -> Call {
        let (held, job) = self.job(worker).await;
        Call {
            held,
            job,
            attempt: AttemptId::new(),
        }
    }

    /// Begins a new job's call.
    pub(super) async fn try_to_take(&self, takes: &[Take]) -> (Call, Begun) {
        let call = self.call().await;
        let begun = self.begin_taking(&call, takes, false).await;
        (call, begun)
    }

    /// Begins a new job's call, which finds room at once.
    pub(super) async fn taking(&self, takes: &[Take]) -> Call {
        let (call, begun) = self.try_to_take(takes).await;
        assert_eq!(begun, BEGUN);
        call
    }

    /// Begins a call that reserves these amounts.
    pub(super) async fn begin_taking(&self, call: &Call, takes: &[Take], waited: bool) -> Begun {
        let beginning = Beginning {
            job: &call.job,
            attempt: call.attempt,
            event_if_lost: &format!("lost {}", call.attempt),
            concurrency: None,
            resume: &resume(&call.job, 0),
            takes: &Takes::new(takes),
            waited,
        };
        self.broker
            .deliveries()
            .begin(&call.held, &beginning)
            .await
            .unwrap()
    }

    /// Reserves the first of these candidates that has room.
    pub(super) async fn reserve(
        &self,
        call: &Call,
        candidates: &[Vec<Take>],
        waited: bool,
    ) -> Reserved {
        self.reserve_with(call, None, candidates, waited).await
    }

    /// Reserves for a job with a concurrency key.
    pub(super) async fn reserve_keyed(
        &self,
        call: &Call,
        key: &Concurrency,
        takes: Vec<Take>,
    ) -> Reserved {
        self.reserve_with(call, Some(key), &[takes], false).await
    }

    async fn reserve_with(
        &self,
        call: &Call,
        concurrency: Option<&Concurrency>,
        candidates: &[Vec<Take>],
        waited: bool,
    ) -> Reserved {
        let offers: Vec<Offer> = candidates
            .iter()
            .enumerate()
            .map(|(number, takes)| Offer {
                event_if_lost: format!("lost {number} {}", call.attempt),
                takes: Takes::new(takes),
                spare: false,
            })
            .collect();
        let text = resume(&call.job, 0);
        let reservation = Reservation {
            job: &call.job,
            attempt: call.attempt,
            concurrency,
            resume: &text,
            resume_waiting: &text,
            waited,
            offers: &offers,
        };
        self.broker
            .deliveries()
            .reserve(&call.held, &reservation)
            .await
            .unwrap()
    }

    /// A new job that finds no room and is parked.
    pub(super) async fn waiter(&self, takes: Vec<Take>) -> JobId {
        let call = self.call().await;
        let reserved = self.reserve(&call, &[takes], false).await;
        assert!(matches!(reserved, Reserved::Waits { .. }), "{reserved:?}");
        call.job
    }

    /// Reads the released jobs for `worker`, in order.
    pub(super) async fn let_go_to(&self, worker: &str) -> Vec<Call> {
        if self.ask::<u64>(&["XLEN", &self.ready_stream()]).await == 0 {
            return Vec::new();
        }
        let delivered = self.read(worker, 1000).await;
        delivered.into_iter().map(resumed).collect()
    }

    /// Settles a call's job.
    pub(super) async fn end(&self, call: &Call, spent: Spent) {
        let ending = Ending {
            spent,
            remembered: true,
            ..ending(call.attempt)
        };
        let fence = self
            .broker
            .deliveries()
            .settle(&call.held, &call.job, &ending)
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
    pub(super) async fn holders(&self) -> Vec<Place> {
        let places = self.hash_keys("slots:slots:m").await;
        places
            .iter()
            .map(|place| Place::from_record(place))
            .collect()
    }

    /// The jobs parked by a limit, in order.
    pub(super) async fn lane(&self, meter: &str) -> Vec<String> {
        let key = self.broker.keys().quota_lane(meter);
        self.ask(&["LRANGE", &key, "0", "-1"]).await
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
fn resumed(delivered: Delivered) -> Call {
    let text = delivered.resume.expect("something is remembered of it");
    let resume: Resume = serde_json::from_str(&text).unwrap();
    Call {
        held: delivered.held,
        job: resume.id,
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
        Begun::Yes(wait) => Some(wait),
        _ => None,
    };
    let wait = wait.expect("it has its turn");
    // The test may be descheduled between two calls.
    let least = about.saturating_sub(Duration::from_millis(500));
    assert!((least..=about).contains(&wait), "{wait:?} for {about:?}");
}

//! Redis, the expected books, and the workers' beliefs.

use std::time::Duration;

use longshore_broker::{Consumed, DeliveredEntry, EntrySource, QueueReader, SlotLimit};
use longshore_policy::limits::{AtLimit, MeterAmount, Unit};
use longshore_protocol::{
    checkpoint::Checkpoint,
    id::{AttemptId, JobId},
    platform::PlatformName,
};
use proptest::sample::Index;

use super::{
    Act, Call, Came, End, WORKERS,
    actions::Belief,
    books::{Books, journal},
};
use crate::scripts::fixture::{Fixture, access, id, prompt};

const NAMES: [&str; WORKERS] = ["a", "b", "c"];

/// The windows and their limits.
const WINDOWS: [(&str, u64); 3] = [("budget:b", 30), ("usd:one", 20), ("usd:two", 16)];

/// The slots of each account; of the second at most half of what is left of its dollars.
const SLOTS: [(&str, u32); 2] = [("slots:one", 2), ("slots:two", 3)];

/// The start of the first window (ms); each lasts a second, far from now.
const FIRST: i64 = 4_102_444_800_000;

/// Redis and the model.
pub(super) struct World {
    fixture: Fixture,
    books: Books,
    readers: Vec<QueueReader>,
    beliefs: Vec<Belief>,
    /// The number of the current window.
    window: i64,
    jobs: usize,
    ended: usize,
}

impl World {
    pub(super) async fn new() -> Self {
        let fixture = Fixture::new().await;
        let mut readers = Vec::new();
        for name in NAMES {
            let queues = std::slice::from_ref(&fixture.queue);
            readers.push(
                fixture
                    .broker
                    .queues()
                    .reader(queues, &id(name))
                    .await
                    .unwrap(),
            );
        }
        Self {
            fixture,
            books: Books::default(),
            readers,
            beliefs: Vec::new(),
            window: 1,
            jobs: 0,
            ended: 0,
        }
    }

    pub(super) async fn enqueue(&mut self) {
        self.fixture.enqueue(&prompt("hello")).await;
        self.jobs += 1;
    }

    pub(super) async fn read(&mut self, worker: usize, count: usize) {
        self.fixture.alive(NAMES[worker]).await;
        let depth = self
            .fixture
            .broker
            .queues()
            .depth(&self.fixture.queue)
            .await
            .unwrap();
        if depth.available == 0 {
            // Redis would block the read for up to 100 ms.
            return;
        }
        let wait = Duration::from_millis(1);
        let read = self.readers[worker]
            .read(count, wait, EntrySource::All)
            .await;
        for delivered in read.unwrap() {
            self.beliefs.push(belief(delivered));
        }
    }

    /// The amounts that a call reserves.
    fn amounts(&self, call: Call) -> Vec<MeterAmount> {
        let window = self.window - i64::from(call.late);
        let start = FIRST + 1000 * window;
        let sum = |at: usize| MeterAmount::Window {
            meter: WINDOWS[at].0.to_owned(),
            window: start,
            end: Some(start + 1000),
            limit: WINDOWS[at].1,
            amount: call.amount,
            unit: Unit::NanoUsd,
            hard: true,
            at_limit: AtLimit::Wait,
            definition: None,
        };
        let (meter, limit) = SLOTS[call.account];
        let dollars = WINDOWS[call.account + 1];
        let slots = MeterAmount::Slots {
            meter: meter.to_owned(),
            limit,
            half_of: (call.account == 1).then(|| (dollars.0.to_owned(), dollars.1)),
        };
        vec![sum(0), sum(call.account + 1), slots]
    }

    pub(super) async fn act(&mut self, who: &Index, act: Act, twice: bool) {
        if self.beliefs.is_empty() {
            return;
        }
        let mut belief = self.beliefs.swap_remove(who.index(self.beliefs.len()));
        let begins = !matches!(act, Act::End(..));
        // A worker with an attempt does not begin another, and one without cannot record its failure.
        if begins == belief.attempt.is_some() && (begins || matches!(act, Act::End(End::Fail, _))) {
            self.beliefs.push(belief);
            return;
        }
        let attempt = AttemptId::new();
        let ended = belief.attempt;
        let goes_on = self.once(&mut belief, act, attempt).await;
        if twice {
            let before = self.fixture.snapshot_but_events().await;
            self.again(&mut belief, act, attempt, ended).await;
            let after = self.fixture.snapshot_but_events().await;
            assert_eq!(after, before, "{act:?} once more");
        }
        if goes_on {
            self.beliefs.push(belief);
        }
    }

    /// Whether the worker continues with the job.
    async fn once(&mut self, belief: &mut Belief, act: Act, attempt: AttemptId) -> bool {
        match act {
            Act::Begin(call) => {
                let amounts = self.amounts(call);
                let goes_on = belief.begin(&self.fixture, attempt, &amounts).await;
                self.enter(None).await;
                goes_on
            }
            Act::Reserve(one, other) => {
                let candidates = [self.amounts(one), self.amounts(other)];
                let goes_on = belief.reserve(&self.fixture, attempt, &candidates).await;
                self.enter(None).await;
                goes_on
            }
            Act::End(how, came) => {
                let consumed = belief.consumed(came);
                let consumed = self.at_most_taken(belief, consumed).await;
                let done = belief.end(&self.fixture, how, consumed).await;
                let own = belief.attempt.filter(|_| done).map(|own| (own, consumed));
                self.enter(own).await;
                self.ended += usize::from(done && matches!(how, End::Settle));
                belief.attempt = None;
                done && matches!(how, End::Fail)
            }
        }
    }

    /// Repeats the action, as after a lost reply.
    async fn again(
        &self,
        belief: &mut Belief,
        act: Act,
        attempt: AttemptId,
        ended: Option<AttemptId>,
    ) {
        match act {
            Act::Begin(call) => {
                belief
                    .begin(&self.fixture, attempt, &self.amounts(call))
                    .await;
            }
            Act::Reserve(one, other) => {
                let candidates = [self.amounts(one), self.amounts(other)];
                belief.reserve(&self.fixture, attempt, &candidates).await;
            }
            Act::End(how, came) => {
                belief.attempt = ended;
                belief.end(&self.fixture, how, belief.consumed(came)).await;
                belief.attempt = None;
            }
        }
    }

    /// Limits the usage of a call to its reservation.
    async fn at_most_taken(&self, belief: &Belief, consumed: Consumed) -> Consumed {
        let journal = journal(&self.fixture).await;
        let begun = belief
            .attempt
            .and_then(|own| journal.get(&own.to_string()).cloned());
        match (consumed, begun) {
            (
                Consumed::Known {
                    tokens,
                    requests,
                    nanos,
                    answered,
                },
                Some(begun),
            ) => Consumed::Known {
                tokens,
                requests,
                nanos: nanos.min(begun.amount()),
                answered,
            },
            (consumed, _) => consumed,
        }
    }

    async fn enter(&mut self, own: Option<(AttemptId, Consumed)>) {
        self.books.enter(journal(&self.fixture).await, own);
    }

    pub(super) async fn kill(&mut self, worker: usize) {
        let heartbeat = self.fixture.broker.keys().worker(&id(NAMES[worker]));
        let () = self.fixture.ask(&["DEL", &heartbeat]).await;
        let _recovered = self
            .fixture
            .broker
            .workers()
            .recover(&self.fixture.queue, std::time::Duration::ZERO)
            .await
            .unwrap();
        self.enter(None).await;
    }

    /// Simulates a second: all gates open, and released jobs that have not begun are gone.
    async fn a_second_passes(&self) {
        let gates = self.fixture.key("lanes:due");
        let meters: Vec<String> = self.fixture.ask(&["ZRANGE", &gates, "0", "-1"]).await;
        for meter in meters {
            let () = self.fixture.ask(&["ZADD", &gates, "XX", "0", &meter]).await;
            let key = self.fixture.key(&format!("quota:{meter}"));
            let () = self.fixture.ask(&["HSET", &key, "released_at", "0"]).await;
        }
    }

    pub(super) async fn let_go(&mut self, count: usize) {
        self.a_second_passes().await;
        let went = self.fixture.broker.lanes().release(count).await.unwrap();
        assert!(went.jobs <= count);
        self.fixture.broker.lanes().promote(count).await.unwrap();
    }

    pub(super) async fn limited(&mut self, account: usize) {
        let name = PlatformName::from_stored(["one", "two"][account]);
        let (meter, limit) = SLOTS[account];
        let slots = SlotLimit {
            meter,
            limit,
            is_implied: false,
        };
        self.fixture
            .broker
            .limits()
            .hold_account(&name, None, "busy", Some(slots), &access(name.as_str(), 1))
            .await
            .unwrap();
    }

    /// Ends the current windows.
    pub(super) async fn next_window(&mut self) {
        self.window += 1;
        for (meter, _) in WINDOWS {
            let key = self.fixture.key(&format!("quota:{meter}"));
            if self.fixture.ask::<bool>(&["HEXISTS", &key, "end"]).await {
                let () = self.fixture.ask(&["HSET", &key, "end", "1"]).await;
            }
        }
    }

    /// Asserts that everything is as expected.
    pub(super) async fn check(&self) {
        for (meter, limit) in WINDOWS {
            let limit = i64::try_from(limit).unwrap();
            self.books.check_window(&self.fixture, meter, limit).await;
        }
        for (meter, limit) in SLOTS {
            self.books.check_slots(&self.fixture, meter, limit).await;
        }
        let waiting: usize = self
            .fixture
            .ask(&["HLEN", &self.fixture.key("parked")])
            .await;
        let standing = self.fixture.standing().await;
        assert_eq!(standing + waiting + self.ended, self.jobs);
        for (lane, _) in self.fixture.broker.lanes().sizes().await.unwrap() {
            if let Some(meter) = lane.strip_prefix("quota:") {
                let gates = self.fixture.key("lanes:due");
                let gate: Option<f64> = self.fixture.ask(&["ZSCORE", &gates, meter]).await;
                assert!(gate.is_some(), "{meter} is looked at again");
            }
        }
    }

    /// All workers die, the next day begins, and one worker ends all jobs: none is stuck in a lane, and no
    /// reservation is left.
    pub(super) async fn finish(mut self) {
        for worker in 0..WORKERS {
            self.kill(worker).await;
        }
        self.check().await;
        self.beliefs.clear();
        self.next_window().await;
        let call = Call {
            account: 0,
            amount: 1,
            late: false,
        };
        for _ in 0..=10 * self.jobs {
            self.let_go(100).await;
            self.read(0, 100).await;
            for mut belief in std::mem::take(&mut self.beliefs) {
                let begun = Act::Reserve(call, call);
                if self.once(&mut belief, begun, AttemptId::new()).await {
                    let settled = Act::End(End::Settle, Came::To(0));
                    self.once(&mut belief, settled, AttemptId::new()).await;
                }
                self.check().await;
            }
        }
        assert_eq!(self.ended, self.jobs, "all have ended");
        self.fixture.assert_nothing_is_left().await;
    }
}

fn belief(delivered: DeliveredEntry) -> Belief {
    let checkpoint: Option<Checkpoint> = delivered.checkpoint.map(|text| text.parse().unwrap());
    Belief {
        job: checkpoint.as_ref().map_or_else(
            || JobId::from_entry(&delivered.delivery.entry_id),
            |checkpoint| checkpoint.id.clone(),
        ),
        waited: checkpoint.is_some_and(|checkpoint| checkpoint.attempts > 0),
        delivery: delivered.delivery,
        attempt: None,
    }
}

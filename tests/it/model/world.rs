//! Redis and the model: every step runs in both, and their results are compared.

use std::{collections::BTreeSet, time::Duration};

use longshore_broker::{Delivery, EntrySource, QueueReader, Recovered};
use longshore_protocol::{
    envelope::Concurrency,
    id::{AttemptId, EntryId},
    serialized::Serialized,
};
use proptest::sample::Index;

use super::{
    Act, LIMITS, WORKERS,
    actual::{Actual, Fields, fields_of},
    expected::{Coming, Expected, Job, Journal, Spot},
};
use crate::scripts::fixture::{Fixture, future, id, job_id, letter, limit, past};

/// The names of the workers.
pub(super) const WORKER_NAMES: [&str; WORKERS] = ["a", "b", "c"];

/// The name of a concurrency key.
pub(super) fn key_name(key: usize) -> String {
    format!("key {key}")
}

/// A job that a worker believes it has; it may have lost it long ago.
pub(super) struct Belief {
    pub(super) worker: usize,
    pub(super) job: usize,
    pub(super) delivery: Delivery,
    pub(super) attempt: Option<AttemptId>,
    pub(super) remembered: bool,
}

/// Redis, the model, and the workers' beliefs.
pub(super) struct World {
    pub(super) fixture: Fixture,
    pub(super) expected: Expected,
    readers: Vec<QueueReader>,
    beliefs: Vec<Belief>,
    /// All entry ids that any job ever had.
    entry_ids: BTreeSet<String>,
    texts: u32,
}

impl World {
    pub(super) async fn new() -> Self {
        let fixture = Fixture::new().await;
        let mut readers = Vec::new();
        for name in WORKER_NAMES {
            readers.push(
                fixture
                    .broker
                    .queues()
                    .reader(std::slice::from_ref(&fixture.queue), &id(name))
                    .await
                    .unwrap(),
            );
        }
        Self {
            fixture,
            expected: Expected::default(),
            readers,
            beliefs: Vec::new(),
            entry_ids: BTreeSet::new(),
            texts: 0,
        }
    }

    /// A unique text.
    fn text(&mut self, what: &str) -> String {
        self.texts += 1;
        format!("{what} {}", self.texts)
    }

    pub(super) async fn enqueue(&mut self, key: Option<usize>) {
        let job = Job {
            id: job_id(&format!("job-{}", self.expected.jobs.len())),
            key,
            spot: Spot::Queue,
            entry_id: String::new(),
            journal: Journal::Nothing,
            checkpoint: None,
            crashes: 0,
            unbegun: 0,
            cancelled: false,
            result: None,
        };
        let entry_id = self.fixture.enqueue(&bytes(&job)).await;
        let entry_id = entry_id.to_string();
        self.entry_ids.insert(entry_id.clone());
        self.expected.jobs.push(Job { entry_id, ..job });
    }

    pub(super) async fn read(&mut self, worker: usize, count: usize) {
        self.fixture.alive(WORKER_NAMES[worker]).await;
        let expected = self.expected.next(count);
        if expected.is_empty() {
            // Redis would block the read for up to 100 ms.
            return;
        }
        let delivered = self.readers[worker]
            .read(count, Duration::from_millis(1), EntrySource::All)
            .await
            .unwrap();
        assert_eq!(delivered.len(), expected.len(), "{delivered:?}");
        for (one, number) in delivered.into_iter().zip(expected) {
            let job = &mut self.expected.jobs[number];
            assert_eq!(
                (one.delivery.entry_id.as_str(), &one.message.fields),
                (job.entry_id.as_str(), &bytes(job))
            );
            assert_eq!(
                (
                    (one.crashes, one.unbegun),
                    one.checkpoint.as_ref().map(Serialized::as_str),
                    one.forged
                ),
                ((job.crashes, job.unbegun), job.checkpoint.as_deref(), false)
            );
            job.spot = Spot::Held(worker);
            // A worker that has the job twice knows what its other run left.
            let again = self
                .beliefs
                .iter()
                .any(|belief| (belief.worker, belief.job) == (worker, number));
            self.beliefs.push(Belief {
                worker,
                job: number,
                delivery: one.delivery,
                attempt: None,
                remembered: again || one.checkpoint.is_some() || one.crashes > 0 || one.unbegun > 0,
            });
        }
    }

    pub(super) async fn act(&mut self, who: &Index, act: Act, twice: bool) {
        if self.beliefs.is_empty() {
            return;
        }
        let number = who.index(self.beliefs.len());
        let mut belief = self.beliefs.swap_remove(number);
        let text = self.text("text");
        let attempt = AttemptId::new();
        let mut goes_on = false;
        for _ in 0..=u8::from(twice) {
            goes_on = match act {
                Act::Begin => self.begin(&mut belief, attempt, &text).await,
                Act::Fail => self.fail(&mut belief, &text).await,
                Act::Complete => self.settle(&belief, &text, false).await,
                Act::Discard => self.settle(&belief, &text, true).await,
                Act::ParkDue(ms) => self.park(&belief, false, past(ms), &text).await,
                Act::ParkVersion(ms) => self.park(&belief, true, past(ms), &text).await,
                Act::ParkLater => self.park(&belief, false, future(), &text).await,
                Act::HandBack => self.hand_back(&belief, &text).await,
            };
            // A queued job has its entry id before anything else happens.
            self.check().await;
        }
        if matches!(act, Act::Fail) {
            belief.attempt = None;
        }
        if goes_on {
            self.beliefs.push(belief);
        }
    }

    pub(super) async fn kill(&mut self, worker: usize) {
        let heartbeat = self.fixture.broker.keys().worker(&id(WORKER_NAMES[worker]));
        let () = self.fixture.ask(&["DEL", &heartbeat]).await;
        let recovered = self
            .fixture
            .broker
            .workers()
            .recover(&self.fixture.queue, std::time::Duration::ZERO)
            .await
            .unwrap();
        let (entries, lost) = self.expected.kill(worker);
        let expected = Recovered {
            workers: usize::from(entries > 0),
            entries,
            lost,
        };
        assert_eq!(recovered, expected);
        // It does not notice, and continues with what it believes it has.
        for belief in self
            .beliefs
            .iter_mut()
            .filter(|belief| belief.worker == worker)
        {
            belief.remembered = true;
        }
    }

    pub(super) async fn promote(&mut self, count: usize) {
        let now = self.fixture.broker.server().time_ms().await.unwrap();
        let due = self.expected.due(count, now);
        let went = self.fixture.broker.lanes().promote(count).await.unwrap();
        assert_eq!(went.jobs, due.len());
        for job in due {
            self.expected.let_go(job, false);
        }
    }

    pub(super) async fn cancel(&mut self, job: &Index) {
        if !self.expected.jobs.is_empty() {
            self.cancel_job(job.index(self.expected.jobs.len())).await;
        }
    }

    async fn cancel_job(&mut self, number: usize) {
        let job = &mut self.expected.jobs[number];
        let asked = self
            .fixture
            .broker
            .jobs()
            .cancel(&job.id, None)
            .await
            .unwrap();
        assert_eq!(asked, job.result.is_none());
        if asked {
            job.cancelled = true;
            if matches!(job.spot, Spot::Waits { .. } | Spot::Key) {
                self.expected.let_go(number, false);
            }
        }
    }

    pub(super) async fn replay(&mut self, job: &Index) {
        if !self.expected.jobs.is_empty() {
            self.replay_job(job.index(self.expected.jobs.len())).await;
        }
    }

    async fn replay_job(&mut self, number: usize) {
        let event = self.text("replayed");
        let job = &mut self.expected.jobs[number];
        let entry_id = EntryId::from_stored(&job.entry_id);
        let letter = letter(&self.fixture.queue, &job.id, &entry_id, &bytes(job));
        let died: Option<i64> = self
            .fixture
            .ask(&["ZSCORE", &self.fixture.key("dead"), &job.entry_id])
            .await;
        for round in 0..2 {
            let fields = bytes(job);
            let again = self.fixture.replay(
                died.unwrap_or(1),
                &letter,
                &fields,
                &letter.checkpoint,
                &event,
            );
            let dead = job.spot == Spot::Dead && round == 0;
            assert_eq!(again.await.unwrap(), dead);
        }
        if job.spot == Spot::Dead {
            job.result = None;
            job.cancelled = false;
            job.checkpoint = Some(serde_json::to_string(&letter.checkpoint).unwrap());
            self.expected.events.push((event, false));
            self.expected.replay(number);
        }
    }

    /// Asserts that Redis equals the model.
    pub(super) async fn check(&mut self) {
        let actual = Actual::of(&self.fixture, &self.expected).await;
        actual.assert_one_place_each(&self.expected);
        self.see_new_entries(&actual);
        actual.assert_is(&self.expected);
    }

    /// Added jobs are at the end of the stream, in order.
    fn see_new_entries(&mut self, actual: &Actual) {
        let coming = std::mem::take(&mut self.expected.coming);
        for (ready, stream) in [(true, &actual.ready), (false, &actual.stream)] {
            let coming: Vec<&Coming> = coming.iter().filter(|one| one.ready == ready).collect();
            let newest = stream.iter().rev().take(coming.len()).rev();
            for (one, (entry_id, fields)) in coming.into_iter().zip(newest) {
                self.see_new_entry(one, entry_id, fields);
            }
        }
        let standing = self.expected.jobs.iter().filter(|job| job.stands()).count();
        let seen = actual.ready.len() + actual.stream.len();
        assert_eq!(seen, standing, "entries in the streams");
    }

    fn see_new_entry(&mut self, coming: &Coming, entry_id: &str, fields: &Fields) {
        let job = &mut self.expected.jobs[coming.job];
        assert_eq!(
            fields,
            &fields_of(job),
            "the order in which jobs are let go"
        );
        assert!(
            self.entry_ids.insert(entry_id.to_owned()),
            "{entry_id} is a new entry"
        );
        entry_id.clone_into(&mut job.entry_id);
        if let (true, Some(key)) = (coming.with_slot, job.key) {
            self.expected.holders[key].insert(entry_id.to_owned());
        }
    }

    /// All workers die, all parked jobs and dead letters return, and one worker ends them all.
    pub(super) async fn finish(mut self) {
        for worker in 0..WORKERS {
            self.kill(worker).await;
        }
        self.beliefs.clear();
        for number in 0..self.expected.jobs.len() {
            match self.expected.jobs[number].spot {
                Spot::Dead => self.replay_job(number).await,
                Spot::Waits { .. } => self.cancel_job(number).await,
                _ => {}
            }
            self.check().await;
        }
        while self.expected.jobs.iter().any(Job::stands) {
            self.read(0, 10).await;
            for mut belief in std::mem::take(&mut self.beliefs) {
                let text = self.text("end");
                if self.begin(&mut belief, AttemptId::new(), &text).await {
                    self.settle(&belief, &text, false).await;
                }
                self.check().await;
            }
        }
        assert!(
            self.expected.jobs.iter().all(|job| job.spot == Spot::Ended),
            "{:?}",
            self.expected.jobs
        );
        self.fixture.assert_nothing_is_left().await;
    }
}

pub(super) fn concurrency(job: &Job) -> Option<Concurrency> {
    job.key.map(|key| limit(&key_name(key), LIMITS[key]))
}

pub(super) fn bytes(job: &Job) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields_of(job)
        .into_iter()
        .map(|(name, value)| (name.into_bytes(), value.into_bytes()))
        .collect()
}

//! The actual state: the namespace in Redis, compared with the model.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use longshore_protocol::id::{EntryId, QueueName};

use super::{
    LIMITS,
    expected::{Expected, Job, Journal, Spot},
    world::{WORKER_NAMES, key_name},
};
use crate::scripts::fixture::Fixture;

pub(super) type Fields = Vec<(String, String)>;
type Texts = BTreeMap<String, String>;

/// The content of a namespace.
#[derive(Debug)]
pub(super) struct Actual {
    /// Released jobs by entry id, in order, without the internal field.
    pub(super) ready: Vec<(String, Fields)>,
    /// The queue's entries in the same form.
    pub(super) stream: Vec<(String, Fields)>,
    pending: Texts,
    inflight: Texts,
    checkpoint: Texts,
    crashes: Texts,
    unbegun: Texts,
    lane_jobs: BTreeSet<String>,
    key_lanes: Vec<Vec<String>>,
    time: BTreeMap<String, i64>,
    version: BTreeMap<String, i64>,
    holders: Vec<BTreeSet<String>>,
    dead: BTreeSet<String>,
    letters: BTreeSet<String>,
    cancelled: BTreeSet<String>,
    results: Vec<Option<String>>,
    events: Vec<(String, bool)>,
}

impl Actual {
    /// Reads everything at once.
    pub(super) async fn of(fixture: &Fixture, expected: &Expected) -> Self {
        let keys = [0, 1].map(key_name);
        let holders = keys.each_ref().map(|key| format!("key:{key}"));
        let lanes = keys.each_ref().map(|key| format!("lane:key:{key}"));
        let results = expected
            .jobs
            .iter()
            .map(|job| fixture.key(&format!("result:{}", job.id)));
        // The first key never exists: a command needs at least one.
        let results: Vec<String> = [fixture.key("none")].into_iter().chain(results).collect();
        let results: Vec<&str> = ["MGET"]
            .into_iter()
            .chain(results.iter().map(String::as_str))
            .collect();
        let (ready, stream, pending, events, mut results, holders, key_lanes) = futures::join!(
            entries(fixture, fixture.queue.ready()),
            entries(fixture, fixture.queue.clone()),
            fixture.pending(),
            fixture.events(),
            fixture.ask::<Vec<Option<String>>>(&results),
            futures::future::join_all(holders.iter().map(|name| fixture.hash_keys(name))),
            futures::future::join_all(lanes.iter().map(|lane| list(fixture, lane))),
        );
        let (inflight, checkpoint, crashes, unbegun, lane_jobs, letters) = futures::join!(
            fixture.hash("inflight"),
            fixture.hash("checkpoints"),
            fixture.hash("crashes"),
            fixture.hash("unbegun"),
            fixture.hash_keys("parked"),
            fixture.hash_keys("dead:jobs"),
        );
        let (time, version, dead, cancelled) = futures::join!(
            scores(fixture, "lane:time"),
            scores(fixture, "lane:version"),
            scores(fixture, "dead"),
            scores(fixture, "cancelled"),
        );
        Self {
            ready,
            stream,
            pending,
            inflight,
            checkpoint,
            crashes,
            unbegun,
            lane_jobs,
            key_lanes,
            time,
            version,
            holders,
            dead: dead.into_keys().collect(),
            letters,
            cancelled: cancelled.into_keys().collect(),
            results: results.split_off(1),
            events,
        }
    }

    /// Asserts that every accepted job is in exactly one location, independent of the model.
    pub(super) fn assert_one_place_each(&self, expected: &Expected) {
        for (job, result) in expected.jobs.iter().zip(&self.results) {
            let entry_id = &job.entry_id;
            let standing = self
                .ready
                .iter()
                .chain(&self.stream)
                .filter(|(_, fields)| fields == &fields_of(job))
                .count();
            let waiting = usize::from(self.lane_jobs.contains(entry_id));
            let ended = usize::from(result.is_some());
            assert_eq!(
                standing + waiting + ended,
                1,
                "{job:?} stands {standing}, waits {waiting}, ended {ended}"
            );
            assert!(
                !self.dead.contains(entry_id) || result.is_some(),
                "{job:?} is dead and lives"
            );
        }
        assert_eq!(self.dead, self.letters);
        for (holders, limit) in self.holders.iter().zip(LIMITS) {
            assert!(
                holders.len() <= limit as usize,
                "{holders:?} are more than {limit}"
            );
        }
    }

    /// Asserts that everything equals the model.
    pub(super) fn assert_is(&self, expected: &Expected) {
        let standing = || expected.jobs.iter().filter(|job| job.stands());
        let by_entry_id = |text: &dyn Fn(&Job) -> Option<String>| -> Texts {
            standing()
                .filter_map(|job| Some((job.entry_id.clone(), text(job)?)))
                .collect()
        };
        let entry_ids = |which: &dyn Fn(&Job) -> bool| -> BTreeSet<String> {
            let jobs = expected.jobs.iter().filter(|job| which(job));
            jobs.map(|job| job.entry_id.clone()).collect()
        };
        let lane = |version: bool| -> BTreeMap<String, i64> {
            let due = |job: &Job| match job.spot {
                Spot::Waits { for_version, due } if for_version == version => {
                    Some((job.entry_id.clone(), due))
                }
                _ => None,
            };
            expected.jobs.iter().filter_map(due).collect()
        };
        assert_eq!(
            self.pending,
            by_entry_id(&|job| holder(job.spot)),
            "who has what"
        );
        assert_eq!(
            self.inflight,
            by_entry_id(&|job| journal(job)),
            "the journal"
        );
        assert_eq!(
            self.checkpoint,
            by_entry_id(&|job| job.checkpoint.clone()),
            "what is remembered"
        );
        let crashes = |job: &Job| (job.crashes > 0).then(|| job.crashes.to_string());
        assert_eq!(self.crashes, by_entry_id(&crashes), "crashes");
        let unbegun = |job: &Job| (job.unbegun > 0).then(|| job.unbegun.to_string());
        assert_eq!(
            self.unbegun,
            by_entry_id(&unbegun),
            "deaths before the begin"
        );
        let waits = |job: &Job| matches!(job.spot, Spot::Waits { .. } | Spot::Key);
        assert_eq!(self.lane_jobs, entry_ids(&waits), "the jobs of the lanes");
        assert_eq!(self.time, lane(false), "the lane of time");
        assert_eq!(self.version, lane(true), "the lane of versions");
        let names = |lane: &VecDeque<(usize, String)>| {
            lane.iter().map(|(_, parked)| parked.clone()).collect()
        };
        let key_lanes: Vec<Vec<String>> = expected.lanes.iter().map(names).collect();
        assert_eq!(self.key_lanes, key_lanes, "the lanes of keys");
        assert_eq!(
            self.holders.as_slice(),
            expected.holders.as_slice(),
            "who holds slots"
        );
        assert_eq!(
            self.dead,
            entry_ids(&|job| job.spot == Spot::Dead),
            "the dead"
        );
        let cancelled = expected.jobs.iter().filter(|job| job.cancelled);
        let cancelled: BTreeSet<String> = cancelled.map(|job| job.id.to_string()).collect();
        assert_eq!(self.cancelled, cancelled, "who is to be cancelled");
        let results: Vec<Option<String>> =
            expected.jobs.iter().map(|job| job.result.clone()).collect();
        assert_eq!(self.results, results, "outcomes");
        assert_eq!(self.events, expected.events, "the facts");
    }
}

/// A stream's entries by entry id, without the internal field.
async fn entries(fixture: &Fixture, queue: QueueName) -> Vec<(String, Fields)> {
    let stream = fixture.broker.keys().queue(&queue);
    let mut rows: Vec<(String, Fields)> = fixture.ask(&["XRANGE", &stream, "-", "+"]).await;
    for (entry, fields) in &mut rows {
        *entry = EntryId::new(&queue, entry).to_string();
        fields.retain(|(name, _)| name != "_checkpoint");
    }
    rows
}

async fn list(fixture: &Fixture, name: &str) -> Vec<String> {
    fixture
        .ask(&["LRANGE", &fixture.key(name), "0", "-1"])
        .await
}

async fn scores(fixture: &Fixture, name: &str) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> = fixture
        .ask(&["ZRANGE", &fixture.key(name), "0", "-1", "WITHSCORES"])
        .await;
    rows.into_iter().collect()
}

/// The message of a job: its number and its key.
pub(super) fn fields_of(job: &Job) -> Fields {
    let key = job.key.map(key_name).unwrap_or_default();
    vec![
        ("prompt".to_owned(), job.id.to_string()),
        ("key".to_owned(), key),
    ]
}

fn holder(spot: Spot) -> Option<String> {
    match spot {
        Spot::Held(worker) => Some(WORKER_NAMES[worker].to_owned()),
        Spot::Returned => Some("returned".to_owned()),
        _ => None,
    }
}

fn journal(job: &Job) -> Option<String> {
    let key = job.key.map(key_name).unwrap_or_default();
    let length = key.len();
    match job.journal {
        Journal::Nothing => None,
        Journal::Begun(attempt, worker) => Some(format!(
            "{attempt} {} {length} 0 {key}lost {attempt}",
            WORKER_NAMES[worker]
        )),
        Journal::Failed(attempt, worker) => Some(format!(
            "- {} {length} 0 {key}{attempt}",
            WORKER_NAMES[worker]
        )),
    }
}

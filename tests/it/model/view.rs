//! What is so: the namespace in Redis, and whether it is what the model says.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    LIMITS,
    truth::{Job, Journal, Spot, Truth},
    world::{WORKER_NAMES, key_name},
};
use crate::scripts::room::Room;

type Fields = Vec<(String, String)>;
type Texts = BTreeMap<String, String>;

/// All that a namespace holds.
#[derive(Debug)]
pub(super) struct View {
    /// The queue's entries in order, without our mark.
    pub(super) stream: Vec<(String, Fields)>,
    pending: Texts,
    inflight: Texts,
    resume: Texts,
    crashes: Texts,
    lane_jobs: BTreeSet<String>,
    time: BTreeMap<String, i64>,
    version: BTreeMap<String, i64>,
    holders: Vec<BTreeSet<String>>,
    dead: BTreeSet<String>,
    letters: BTreeSet<String>,
    cancelled: BTreeSet<String>,
    results: Vec<Option<String>>,
    events: Vec<(String, bool)>,
}

impl View {
    /// Looks at everything at once.
    pub(super) async fn of(room: &Room, truth: &Truth) -> Self {
        let stream: Vec<(String, Fields)> = room.ask(&["XRANGE", &room.stream(), "-", "+"]).await;
        let unmarked = |(entry, fields): (String, Fields)| {
            let fields = fields
                .into_iter()
                .filter(|(name, _)| name != "_resume")
                .collect();
            (entry, fields)
        };
        let mut holders = Vec::new();
        for key in 0..LIMITS.len() {
            holders.push(
                room.hash(&format!("key:{}", key_name(key)))
                    .await
                    .into_keys()
                    .collect(),
            );
        }
        let scores = |lane: &'static str| async move {
            let rows: Vec<(String, i64)> = room
                .ask(&["ZRANGE", &room.key(lane), "0", "-1", "WITHSCORES"])
                .await;
            rows.into_iter().collect::<BTreeMap<_, _>>()
        };
        let mut results = Vec::new();
        for job in &truth.jobs {
            results.push(
                room.ask(&["GET", &room.key(&format!("result:{}", job.id))])
                    .await,
            );
        }
        Self {
            stream: stream.into_iter().map(unmarked).collect(),
            pending: room.pending().await,
            inflight: room.hash("inflight").await,
            resume: room.hash("resume").await,
            crashes: room.hash("crashes").await,
            lane_jobs: room.hash_keys("lane:jobs").await,
            time: scores("lane:time").await,
            version: scores("lane:version").await,
            holders,
            dead: scores("dead").await.into_keys().collect(),
            letters: room.hash_keys("dead:jobs").await,
            cancelled: scores("cancelled").await.into_keys().collect(),
            results,
            events: room.events().await,
        }
    }

    /// Every accepted job is in exactly one place, whatever the model thinks.
    pub(super) fn assert_one_place_each(&self, truth: &Truth) {
        for (job, result) in truth.jobs.iter().zip(&self.results) {
            let id = job.id.to_string();
            let standing = self
                .stream
                .iter()
                .filter(|(_, fields)| fields == &fields_of(job))
                .count();
            let waiting = usize::from(self.lane_jobs.contains(&id));
            let ended = usize::from(result.is_some());
            assert_eq!(
                standing + waiting + ended,
                1,
                "{job:?} stands {standing}, waits {waiting}, ended {ended}"
            );
            assert!(
                !self.dead.contains(&id) || result.is_some(),
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

    /// Everything is as the model says.
    pub(super) fn assert_is(&self, truth: &Truth) {
        let standing = || truth.jobs.iter().filter(|job| job.stands());
        let by_entry = |text: &dyn Fn(&Job) -> Option<String>| -> Texts {
            standing()
                .filter_map(|job| Some((job.entry.clone(), text(job)?)))
                .collect()
        };
        let ids = |which: &dyn Fn(&Job) -> bool| -> BTreeSet<String> {
            truth
                .jobs
                .iter()
                .filter(|job| which(job))
                .map(|job| job.id.to_string())
                .collect()
        };
        let lane = |version: bool| -> BTreeMap<String, i64> {
            let due = |job: &Job| match job.spot {
                Spot::Waits { for_version, due } if for_version == version => {
                    Some((job.id.to_string(), due))
                }
                _ => None,
            };
            truth.jobs.iter().filter_map(due).collect()
        };
        assert_eq!(
            self.pending,
            by_entry(&|job| holder(job.spot)),
            "who has what"
        );
        assert_eq!(self.inflight, by_entry(&|job| journal(job)), "the journal");
        assert_eq!(
            self.resume,
            by_entry(&|job| job.resume.clone()),
            "what is remembered"
        );
        let crashes = |job: &Job| (job.crashes > 0).then(|| job.crashes.to_string());
        assert_eq!(self.crashes, by_entry(&crashes), "crashes");
        let waits = |job: &Job| matches!(job.spot, Spot::Waits { .. } | Spot::Key);
        assert_eq!(self.lane_jobs, ids(&waits), "the jobs of the lanes");
        assert_eq!(self.time, lane(false), "the lane of time");
        assert_eq!(self.version, lane(true), "the lane of versions");
        assert_eq!(
            self.holders.as_slice(),
            truth.holders.as_slice(),
            "who holds slots"
        );
        assert_eq!(self.dead, ids(&|job| job.spot == Spot::Dead), "the dead");
        assert_eq!(
            self.cancelled,
            ids(&|job| job.cancelled),
            "who is to be cancelled"
        );
        let results: Vec<Option<String>> =
            truth.jobs.iter().map(|job| job.result.clone()).collect();
        assert_eq!(self.results, results, "outcomes");
        assert_eq!(self.events, truth.events, "the facts");
    }
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
            "{attempt} {} {length} {key}lost {attempt}",
            WORKER_NAMES[worker]
        )),
        Journal::Failed(attempt, worker) => Some(format!(
            "- {} {length} {key}{attempt}",
            WORKER_NAMES[worker]
        )),
    }
}

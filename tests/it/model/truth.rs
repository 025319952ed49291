//! What must be so: every job, where it is, and what is remembered of it.

use std::collections::{BTreeSet, VecDeque};

use longshore_shared::id::{AttemptId, JobId};

use super::LIMITS;

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// In its queue, nobody has it.
    Queue,
    /// In a worker's hands.
    Held(usize),
    /// Given back.
    Returned,
    /// In the lane of time or of versions, until then (ms).
    Waits { for_version: bool, due: i64 },
    /// In the lane of its key.
    Key,
    /// Among the dead letters.
    Dead,
    /// At its end.
    Ended,
}

/// What the journal holds of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Journal {
    Nothing,
    Begun(AttemptId, usize),
    Failed(AttemptId, usize),
}

/// A job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) key: Option<usize>,
    pub(super) spot: Spot,
    /// Where it stands in the stream; the last such place when it stands there no more.
    pub(super) entry: String,
    pub(super) journal: Journal,
    pub(super) resume: Option<String>,
    pub(super) crashes: u32,
    pub(super) cancelled: bool,
    pub(super) result: Option<String>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) jobs: Vec<Job>,
    /// Who waits for a slot of each key. One that was cancelled meanwhile is passed over.
    pub(super) lanes: [VecDeque<usize>; LIMITS.len()],
    /// The entries that hold a slot of each key.
    pub(super) holders: [BTreeSet<String>; LIMITS.len()],
    /// The facts for the record, in order.
    pub(super) events: Vec<(String, bool)>,
    /// Jobs that went into the queue in this step, and whether a slot was handed to them; their
    /// entries are not known yet.
    pub(super) coming: Vec<(usize, bool)>,
}

impl Job {
    /// Whether the job stands in the stream.
    pub(super) fn stands(&self) -> bool {
        matches!(self.spot, Spot::Queue | Spot::Held(_) | Spot::Returned)
    }

    fn forget(&mut self) {
        self.journal = Journal::Nothing;
        self.resume = None;
        self.crashes = 0;
    }
}

/// A stream id in an order that is the stream's.
pub(super) fn age(entry: &str) -> (u64, u64) {
    let (ms, seq) = entry.split_once('-').unwrap_or((entry, "0"));
    (ms.parse().unwrap_or(0), seq.parse().unwrap_or(0))
}

impl Truth {
    /// Whether a step of `worker` on the job at `entry` counts: its attempt is the begun one, or,
    /// without an attempt, the entry is its own.
    pub(super) fn is_mine(
        &self,
        job: usize,
        entry: &str,
        worker: usize,
        attempt: Option<AttemptId>,
    ) -> bool {
        let job = &self.jobs[job];
        if !job.stands() || job.entry != entry {
            return false;
        }
        match attempt {
            None => job.spot == Spot::Held(worker),
            Some(attempt) => matches!(job.journal, Journal::Begun(begun, _) if begun == attempt),
        }
    }

    /// What a lost step leaves: an attempt that was paid for.
    pub(super) fn lose(&mut self, attempt: Option<AttemptId>, event: &str) {
        if attempt.is_some() {
            self.events.push((event.to_owned(), true));
        }
    }

    /// The job goes into the queue, at a place that is seen later.
    pub(super) fn let_go(&mut self, job: usize, with_slot: bool) {
        self.jobs[job].spot = Spot::Queue;
        self.coming.push((job, with_slot));
    }

    /// The job leaves its place for another spot; its slot goes to the next that waits for it.
    pub(super) fn leave(&mut self, job: usize, to: Spot, resume: Option<String>) {
        let one = &mut self.jobs[job];
        one.forget();
        one.spot = to;
        one.resume = resume;
        let entry = one.entry.clone();
        let Some(key) = one.key else { return };
        if !self.holders[key].remove(&entry) {
            return;
        }
        while let Some(next) = self.lanes[key].pop_front() {
            if self.jobs[next].spot == Spot::Key {
                self.let_go(next, true);
                return;
            }
        }
    }

    /// Whether a slot of the job's key is free, or already its own; if so, it has it.
    pub(super) fn take_slot(&mut self, job: usize) -> bool {
        let Some(key) = self.jobs[job].key else {
            return true;
        };
        let entry = self.jobs[job].entry.clone();
        let holders = &mut self.holders[key];
        if holders.contains(&entry) {
            return true;
        }
        let free = holders.len() < LIMITS[key] as usize;
        if free {
            holders.insert(entry);
        }
        free
    }

    /// What a read of at most `count` brings: what was given back, else what is new.
    pub(super) fn next(&self, count: usize) -> Vec<usize> {
        for spot in [Spot::Returned, Spot::Queue] {
            let mut found: Vec<usize> = (0..self.jobs.len())
                .filter(|job| self.jobs[*job].spot == spot)
                .collect();
            found.sort_by_key(|job| age(&self.jobs[*job].entry));
            found.truncate(count);
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// What a promotion of at most `count` a lane lets go, in order.
    pub(super) fn due(&self, count: usize, now: i64) -> Vec<usize> {
        let mut all = Vec::new();
        for version in [false, true] {
            let mut some: Vec<(i64, &str, usize)> = Vec::new();
            for (number, job) in self.jobs.iter().enumerate() {
                match job.spot {
                    Spot::Waits { for_version, due } if for_version == version && due <= now => {
                        some.push((due, job.id.as_str(), number));
                    }
                    _ => {}
                }
            }
            some.sort_unstable();
            some.truncate(count);
            all.extend(some.into_iter().map(|(.., job)| job));
        }
        all
    }

    /// A worker is taken for dead; its attempts in mid-call are lost.
    pub(super) fn kill(&mut self, worker: usize) -> (usize, usize) {
        let mut held: Vec<usize> = (0..self.jobs.len())
            .filter(|job| self.jobs[*job].spot == Spot::Held(worker))
            .collect();
        held.sort_by_key(|job| age(&self.jobs[*job].entry));
        let mut lost = 0;
        for job in &held {
            let job = &mut self.jobs[*job];
            if let Journal::Begun(attempt, _) = job.journal {
                job.crashes += 1;
                lost += 1;
                self.events.push((format!("lost {attempt}"), false));
            }
            job.journal = Journal::Nothing;
            job.spot = Spot::Returned;
        }
        (held.len(), lost)
    }
}

//! What must be so: every job, where it is, and what is remembered of it.

use std::collections::{BTreeSet, VecDeque};

use longshore_protocol::id::{AttemptId, JobId};

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
    /// Where it stands in a stream; the last such place when it stands there no more.
    pub(super) place: String,
    pub(super) journal: Journal,
    pub(super) resume: Option<String>,
    pub(super) crashes: u32,
    pub(super) cancelled: bool,
    pub(super) result: Option<String>,
}

/// A job that goes into a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coming {
    pub(super) job: usize,
    /// Whether into the one that is read first.
    pub(super) ready: bool,
    /// Whether a slot was handed to it.
    pub(super) with_slot: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) jobs: Vec<Job>,
    /// Who waits for a slot of each key. One that was cancelled meanwhile is passed over.
    pub(super) lanes: [VecDeque<usize>; LIMITS.len()],
    /// The places that hold a slot of each key.
    pub(super) holders: [BTreeSet<String>; LIMITS.len()],
    /// The facts for the record, in order.
    pub(super) events: Vec<(String, bool)>,
    /// Jobs that went into a stream in this step; their places are not known yet.
    pub(super) coming: Vec<Coming>,
}

impl Job {
    /// Whether the job stands in a stream.
    pub(super) fn stands(&self) -> bool {
        matches!(self.spot, Spot::Queue | Spot::Held(_) | Spot::Returned)
    }

    fn forget(&mut self) {
        self.journal = Journal::Nothing;
        self.resume = None;
        self.crashes = 0;
    }
}

/// Whether a place is in the stream that is read first.
pub(super) fn is_ready(place: &str) -> bool {
    place.starts_with('~')
}

/// An order of places: that of the streams, and within each its own.
pub(super) fn turn(place: &str) -> (bool, u64, u64) {
    let entry = place.rsplit_once(':').map_or(place, |(_, entry)| entry);
    let (ms, seq) = entry.split_once('-').unwrap_or((entry, "0"));
    let number = |digits: &str| digits.parse().unwrap_or(0);
    (!is_ready(place), number(ms), number(seq))
}

impl Truth {
    /// Whether a step of `worker` on the job at `place` counts: its attempt is the begun one, or,
    /// without an attempt, the entry is its own.
    pub(super) fn is_mine(
        &self,
        job: usize,
        place: &str,
        worker: usize,
        attempt: Option<AttemptId>,
    ) -> bool {
        let job = &self.jobs[job];
        if !job.stands() || job.place != place {
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

    /// The job leaves its lane, for a place that is seen later.
    pub(super) fn let_go(&mut self, job: usize, with_slot: bool) {
        self.jobs[job].spot = Spot::Queue;
        self.coming.push(Coming {
            job,
            ready: true,
            with_slot,
        });
    }

    /// The job goes to the end of its queue, like a new one.
    pub(super) fn replay(&mut self, job: usize) {
        self.jobs[job].spot = Spot::Queue;
        self.coming.push(Coming {
            job,
            ready: false,
            with_slot: false,
        });
    }

    /// The job leaves its place for another spot; its slot goes to the next that waits for it.
    pub(super) fn leave(&mut self, job: usize, to: Spot, resume: Option<String>) {
        let one = &mut self.jobs[job];
        one.forget();
        one.spot = to;
        one.resume = resume;
        let place = one.place.clone();
        let Some(key) = one.key else { return };
        if !self.holders[key].remove(&place) {
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
        let place = self.jobs[job].place.clone();
        let holders = &mut self.holders[key];
        if holders.contains(&place) {
            return true;
        }
        let free = holders.len() < LIMITS[key] as usize;
        if free {
            holders.insert(place);
        }
        free
    }

    /// What a read of at most `count` brings: what was given back, and then what came out of lanes; only
    /// where both are nothing, what is new.
    pub(super) fn next(&self, count: usize) -> Vec<usize> {
        let mut found: Vec<usize> = [
            (Spot::Returned, true),
            (Spot::Returned, false),
            (Spot::Queue, true),
        ]
        .into_iter()
        .flat_map(|(spot, ready)| self.standing(spot, ready))
        .collect();
        if found.is_empty() {
            found = self.standing(Spot::Queue, false);
        }
        found.truncate(count);
        found
    }

    /// The jobs of one of the streams that are in this spot, in the stream's order.
    fn standing(&self, spot: Spot, ready: bool) -> Vec<usize> {
        let mut found: Vec<usize> = (0..self.jobs.len())
            .filter(|job| {
                let job = &self.jobs[*job];
                job.spot == spot && is_ready(&job.place) == ready
            })
            .collect();
        found.sort_by_key(|job| turn(&self.jobs[*job].place));
        found
    }

    /// What a promotion of at most `count` lets go, in order.
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
            some.truncate(count - all.len());
            all.extend(some.into_iter().map(|(.., job)| job));
        }
        all
    }

    /// A worker is taken for dead; its attempts in mid-call are lost.
    pub(super) fn kill(&mut self, worker: usize) -> (usize, usize) {
        let mut held: Vec<usize> = (0..self.jobs.len())
            .filter(|job| self.jobs[*job].spot == Spot::Held(worker))
            .collect();
        held.sort_by_key(|job| turn(&self.jobs[*job].place));
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

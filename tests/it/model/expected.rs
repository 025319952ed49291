//! The expected state: every job, where it is, and its checkpoint.

use std::collections::{BTreeSet, VecDeque};

use longshore_protocol::id::{AttemptId, JobId};

use super::LIMITS;

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// In its queue, not delivered.
    Queue,
    /// Delivered to a worker.
    Held(usize),
    /// Handed back.
    Returned,
    /// In the time or version lane, until then (ms).
    Waits { for_version: bool, due: i64 },
    /// In the lane of its key.
    Key,
    /// Among the dead letters.
    Dead,
    /// Ended.
    Ended,
}

/// The journal's record of an entry.
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
    /// Its entry id in a stream, or the last one if it has left the stream.
    pub(super) entry_id: String,
    pub(super) journal: Journal,
    pub(super) checkpoint: Option<String>,
    pub(super) crashes: u32,
    /// How many workers died with its entry before they began it.
    pub(super) unbegun: u32,
    pub(super) cancelled: bool,
    pub(super) result: Option<String>,
}

/// A job that is added to a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coming {
    pub(super) job: usize,
    /// Whether it is added to the stream that is read first.
    pub(super) ready: bool,
    /// Whether it got a slot.
    pub(super) with_slot: bool,
}

/// The whole expected state.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) jobs: Vec<Job>,
    /// The jobs parked for a slot of each key, by the entry id they were parked with. One that was cancelled
    /// meanwhile has another; its old name stays and is skipped.
    pub(super) lanes: [VecDeque<(usize, String)>; LIMITS.len()],
    /// The entry ids that hold a slot of each key.
    pub(super) holders: [BTreeSet<String>; LIMITS.len()],
    /// The recorded events, in order.
    pub(super) events: Vec<(String, bool)>,
    /// Jobs added to a stream in this step; their entry ids are not known yet.
    pub(super) coming: Vec<Coming>,
}

impl Job {
    /// Whether the job is in a stream.
    pub(super) fn stands(&self) -> bool {
        matches!(self.spot, Spot::Queue | Spot::Held(_) | Spot::Returned)
    }

    fn forget(&mut self) {
        self.journal = Journal::Nothing;
        self.checkpoint = None;
        self.crashes = 0;
        self.unbegun = 0;
    }
}

/// Whether an entry is in the stream that is read first.
pub(super) fn is_ready(entry_id: &str) -> bool {
    entry_id.starts_with('~')
}

/// The order of entries: by stream, and within each by id.
pub(super) fn turn(entry_id: &str) -> (bool, u64, u64) {
    let entry = entry_id
        .rsplit_once(':')
        .map_or(entry_id, |(_, entry)| entry);
    let (ms, seq) = entry.split_once('-').unwrap_or((entry, "0"));
    let number = |digits: &str| digits.parse().unwrap_or(0);
    (!is_ready(entry_id), number(ms), number(seq))
}

impl Expected {
    /// Whether an action of `worker` on the job of entry `entry_id` is valid: its attempt is the begun one or, without
    /// an attempt, it owns the entry.
    pub(super) fn is_mine(
        &self,
        job: usize,
        entry_id: &str,
        worker: usize,
        attempt: Option<AttemptId>,
    ) -> bool {
        let job = &self.jobs[job];
        if !job.stands() || job.entry_id != entry_id {
            return false;
        }
        match attempt {
            None => job.spot == Spot::Held(worker),
            Some(attempt) => matches!(job.journal, Journal::Begun(begun, _) if begun == attempt),
        }
    }

    /// The event of a fenced action: an attempt that was paid for.
    pub(super) fn lose(&mut self, attempt: Option<AttemptId>, event: &str) {
        if attempt.is_some() {
            self.events.push((event.to_owned(), true));
        }
    }

    /// The job leaves its lane for an entry id that is read later.
    pub(super) fn let_go(&mut self, job: usize, with_slot: bool) {
        self.jobs[job].spot = Spot::Queue;
        self.coming.push(Coming {
            job,
            ready: true,
            with_slot,
        });
    }

    /// The job is added to the end of its queue, like a new one.
    pub(super) fn replay(&mut self, job: usize) {
        self.jobs[job].spot = Spot::Queue;
        self.coming.push(Coming {
            job,
            ready: false,
            with_slot: false,
        });
    }

    /// The job moves to another spot; its slot passes to the next parked job.
    pub(super) fn leave(&mut self, job: usize, to: Spot, checkpoint: Option<String>) {
        let one = &mut self.jobs[job];
        one.forget();
        one.spot = to;
        one.checkpoint = checkpoint;
        let entry_id = one.entry_id.clone();
        let Some(key) = one.key else { return };
        if !self.holders[key].remove(&entry_id) {
            return;
        }
        while let Some((next, parked)) = self.lanes[key].pop_front() {
            if self.jobs[next].spot == Spot::Key && self.jobs[next].entry_id == parked {
                self.let_go(next, true);
                return;
            }
        }
    }

    /// Takes a slot of the job's key if one is free or already its own, and returns whether it has it.
    pub(super) fn take_slot(&mut self, job: usize) -> bool {
        let Some(key) = self.jobs[job].key else {
            return true;
        };
        let entry_id = self.jobs[job].entry_id.clone();
        let holders = &mut self.holders[key];
        if holders.contains(&entry_id) {
            return true;
        }
        let free = holders.len() < LIMITS[key] as usize;
        if free {
            holders.insert(entry_id);
        }
        free
    }

    /// What a read of at most `count` returns: handed-back jobs, then released ones; new ones only if there
    /// are neither. A job with which two workers died before they began it comes alone.
    pub(super) fn next(&self, count: usize) -> Vec<usize> {
        let mut found = Vec::new();
        for ready in [true, false] {
            let returned = self.standing(Spot::Returned, ready);
            for job in returned.into_iter().take(count - found.len()) {
                if self.jobs[job].unbegun < 2 {
                    found.push(job);
                } else if found.is_empty() {
                    return vec![job];
                }
            }
        }
        found.extend(self.standing(Spot::Queue, true));
        if found.is_empty() {
            found = self.standing(Spot::Queue, false);
        }
        found.truncate(count);
        found
    }

    /// The jobs of a stream that are in this spot, in the stream's order.
    fn standing(&self, spot: Spot, ready: bool) -> Vec<usize> {
        let mut found: Vec<usize> = (0..self.jobs.len())
            .filter(|job| {
                let job = &self.jobs[*job];
                job.spot == spot && is_ready(&job.entry_id) == ready
            })
            .collect();
        found.sort_by_key(|job| turn(&self.jobs[*job].entry_id));
        found
    }

    /// What a promotion of at most `count` releases, in order.
    pub(super) fn due(&self, count: usize, now: i64) -> Vec<usize> {
        let mut all = Vec::new();
        for version in [false, true] {
            let mut some: Vec<(i64, &str, usize)> = Vec::new();
            for (number, job) in self.jobs.iter().enumerate() {
                match job.spot {
                    Spot::Waits { for_version, due } if for_version == version && due <= now => {
                        some.push((due, job.entry_id.as_str(), number));
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

    /// A worker is taken for dead; its attempts in flight are lost.
    pub(super) fn kill(&mut self, worker: usize) -> (usize, usize) {
        let mut held: Vec<usize> = (0..self.jobs.len())
            .filter(|job| self.jobs[*job].spot == Spot::Held(worker))
            .collect();
        held.sort_by_key(|job| turn(&self.jobs[*job].entry_id));
        let mut lost = 0;
        for job in &held {
            let job = &mut self.jobs[*job];
            match job.journal {
                Journal::Begun(attempt, _) => {
                    job.crashes += 1;
                    lost += 1;
                    self.events.push((format!("lost {attempt}"), false));
                }
                Journal::Failed(..) => {}
                Journal::Nothing => job.unbegun += 1,
            }
            job.journal = Journal::Nothing;
            job.spot = Spot::Returned;
        }
        (held.len(), lost)
    }
}

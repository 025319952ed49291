//! Estimates when a batch ends.

use std::{collections::VecDeque, fmt, time::Duration};

use chrono::TimeDelta;

use crate::render::time::span;

/// Tasks that must have ended before there is an estimate.
const LEAST_TASKS: u64 = 5;

/// Time in which they ended.
const LEAST_TIME: Duration = Duration::from_secs(5);

/// The last so many ended tasks show the pace, and those of the last so much time.
const RECENT_TASKS: u64 = 200;
const RECENT_TIME: Duration = Duration::from_secs(10);

/// When the tasks continue that wait for something that ends at a known time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Resets {
    /// Whether all tasks in flight wait, so that none ends before the first reset.
    pub(super) all_wait: bool,
    /// How long until the first of the known resets.
    pub(super) first: Option<TimeDelta>,
    /// How long until the last of the known resets.
    pub(super) last: Option<TimeDelta>,
}

/// How long a batch still takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeLeft {
    About(TimeDelta),
    /// The pace is not known yet.
    AtLeast(TimeDelta),
}

impl fmt::Display for TimeLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::About(left) => write!(f, "about {} left", span(*left)),
            Self::AtLeast(left) => write!(f, "at least {} left", span(*left)),
        }
    }
}

/// How fast the tasks end while they can run.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The time in which not all tasks waited.
    active: Duration,
    /// The tasks that had ended after so much of this time.
    samples: VecDeque<(Duration, u64)>,
}

impl Pace {
    /// After `passed` more time, in which all tasks waited or not, `done` tasks have ended.
    pub(super) fn observe(&mut self, passed: Duration, all_waited: bool, done: u64) {
        if !all_waited {
            self.active += passed;
        }
        self.samples.push_back((self.active, done));
        let is_enough = |(time, before): &(Duration, u64)| {
            done.saturating_sub(*before) >= RECENT_TASKS
                && self.active.saturating_sub(*time) >= RECENT_TIME
        };
        while self.samples.get(1).is_some_and(is_enough) {
            self.samples.pop_front();
        }
    }

    /// The time that `left` more tasks take; `None` if there is not enough to say.
    pub(super) fn time_left(&self, left: u64, resets: Resets) -> Option<TimeLeft> {
        time_left(self.rate(), left, resets)
    }

    /// Tasks a second.
    fn rate(&self) -> Option<f64> {
        let ((begin, before), (end, after)) = (self.samples.front()?, self.samples.back()?);
        let (time, tasks) = (end.checked_sub(*begin)?, after.checked_sub(*before)?);
        (tasks >= LEAST_TASKS && time >= LEAST_TIME).then(|| to_f64(tasks) / time.as_secs_f64())
    }
}

/// The time that `left` more tasks take at `rate` tasks a second; `None` if there is not enough to say.
pub(super) fn time_left(rate: Option<f64>, left: u64, resets: Resets) -> Option<TimeLeft> {
    let seconds = rate.map(|rate| to_f64(left) / rate);
    let run = seconds
        .and_then(|seconds| TimeDelta::from_std(Duration::try_from_secs_f64(seconds).ok()?).ok());
    let Resets {
        all_wait,
        first,
        last,
    } = resets;
    match (run, all_wait) {
        (Some(run), false) => Some(TimeLeft::About(last.map_or(run, |last| last.max(run)))),
        (Some(run), true) => {
            let begin = first?;
            Some(TimeLeft::About(last?.max(begin.checked_add(&run)?)))
        }
        (None, true) => last
            .filter(|last| last.num_seconds() > 0)
            .map(TimeLeft::AtLeast),
        (None, false) => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn minutes(minutes: i64) -> TimeDelta {
        TimeDelta::minutes(minutes)
    }

    /// Ten tasks a second, over ten seconds.
    fn ten_a_second() -> Pace {
        let mut pace = Pace::default();
        for second in 0..=10 {
            pace.observe(SECOND, false, second * 10);
        }
        pace
    }

    #[test]
    fn nothing_is_said_before_there_is_enough() {
        let mut pace = Pace::default();
        for second in 0..5 {
            pace.observe(SECOND, false, second * 10);
            assert_eq!(pace.time_left(600, Resets::default()), None);
        }
        pace.observe(SECOND, false, 50);
        let left = pace.time_left(600, Resets::default());
        assert_eq!(left, Some(TimeLeft::About(minutes(1))));
    }

    #[test]
    fn a_batch_does_not_end_before_the_last_reset() {
        let left = |all_wait, first, last| {
            let (first, last) = (Some(minutes(first)), Some(minutes(last)));
            let resets = Resets {
                all_wait,
                first,
                last,
            };
            ten_a_second().time_left(600, resets)
        };
        assert_eq!(left(false, 30, 30), Some(TimeLeft::About(minutes(30))));
        assert_eq!(left(false, 0, 0), Some(TimeLeft::About(minutes(1))));
        // What is left begins to run with the reset.
        assert_eq!(left(true, 30, 30), Some(TimeLeft::About(minutes(31))));
        assert_eq!(left(true, 1, 30), Some(TimeLeft::About(minutes(30))));
    }

    #[test]
    fn without_a_pace_or_a_time_there_is_a_lower_bound_or_nothing() {
        let resets = Resets {
            all_wait: true,
            first: Some(minutes(5)),
            last: Some(minutes(5)),
        };
        let left = Pace::default().time_left(600, resets);
        assert_eq!(left, Some(TimeLeft::AtLeast(minutes(5))));
        let paused = Resets {
            all_wait: true,
            ..Resets::default()
        };
        assert_eq!(ten_a_second().time_left(600, paused), None);
    }

    #[test]
    fn time_in_which_all_tasks_waited_does_not_slow_the_pace() {
        let mut pace = ten_a_second();
        pace.observe(SECOND * 3600, true, 100);
        let left = pace.time_left(600, Resets::default());
        assert_eq!(left, Some(TimeLeft::About(minutes(1))));
    }

    #[test]
    fn the_pace_is_that_of_the_last_tasks() {
        let mut pace = Pace::default();
        for second in 0..1000 {
            pace.observe(SECOND, false, second);
        }
        for second in 1..=20 {
            pace.observe(SECOND, false, 1000 + second * 100);
        }
        let left = pace.time_left(6000, Resets::default());
        assert_eq!(left, Some(TimeLeft::About(minutes(1))));
        assert!(pace.samples.len() < 20);
    }
}

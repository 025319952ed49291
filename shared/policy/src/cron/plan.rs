//! Decides what to do about a tick that is due.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Missed, Timing};

/// A tick that is later than this was missed: the leader checks every second, so no leader ran.
pub const GRACE: TimeDelta = TimeDelta::seconds(2);

/// The most ticks that one plan skips; a long absence takes several plans.
const MOST: u64 = 1000;

/// What to do about a tick that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickPlan {
    /// The tick that runs now.
    pub run: Option<DateTime<Utc>>,
    /// The number of ticks that do not run.
    pub skipped: u64,
    /// The next tick; `None` if there is none.
    pub next: Option<DateTime<Utc>>,
}

/// Plans the tick `due`, whose time has come, at `now`.
pub fn step(timing: &Timing, missed: Missed, due: DateTime<Utc>, now: DateTime<Utc>) -> TickPlan {
    let is_missed = |tick: DateTime<Utc>| now - tick > GRACE;
    if missed == Missed::All || !is_missed(due) {
        return TickPlan {
            run: Some(due),
            skipped: 0,
            next: timing.next_after(due),
        };
    }
    let (mut last, mut count) = (due, 1);
    let mut next = timing.next_after(due);
    while let Some(tick) = next.filter(|tick| is_missed(*tick) && count < MOST) {
        (last, count) = (tick, count + 1);
        next = timing.next_after(tick);
    }
    let goes_on = next.is_some_and(is_missed);
    if missed == Missed::Once && !goes_on {
        TickPlan {
            run: Some(last),
            skipped: count - 1,
            next,
        }
    } else {
        TickPlan {
            run: None,
            skipped: count,
            next,
        }
    }
}

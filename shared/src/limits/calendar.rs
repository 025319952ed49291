//! When hours, days and months begin.

use super::{NaiveTime, Period, Tz};
use chrono::{DateTime, Utc};

/// When days and months begin: at a time of day, in a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    /// The time zone. Default UTC.
    pub time_zone: Tz,
    /// The time of day at which a day begins. Default midnight.
    pub reset_at: NaiveTime,
}

impl Default for Calendar {
    fn default() -> Self {
        Self {
            time_zone: Tz::UTC,
            reset_at: NaiveTime::MIN,
        }
    }
}

/// One hour, day or month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub start: DateTime<Utc>,
    /// The first moment after it; absent of one that never ends.
    pub end: Option<DateTime<Utc>>,
}

impl Calendar {
    /// The window of `period` that `now` is in.
    pub fn window(&self, _period: Period, _now: DateTime<Utc>) -> Window {
        Window {
            start: DateTime::UNIX_EPOCH,
            end: None,
        }
    }
}

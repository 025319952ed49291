//! When hours, days and months begin.

use chrono::{
    DateTime, Datelike as _, Days, DurationRound as _, Months, NaiveDate, NaiveTime, TimeDelta,
    TimeZone as _, Utc,
};
use chrono_tz::{GapInfo, Tz};

use super::Period;

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

impl Window {
    /// The one that never ends.
    const EVER: Self = Self {
        start: DateTime::UNIX_EPOCH,
        end: None,
    };

    /// What tells it from the others of its period: its start in ms since 1970, 0 of the one that
    /// never ends.
    pub fn id(&self) -> i64 {
        self.start.timestamp_millis()
    }

    /// Its end in ms since 1970.
    pub fn end_ms(&self) -> Option<i64> {
        self.end.map(|end| end.timestamp_millis())
    }
}

impl Calendar {
    /// The window of `period` that `now` is in.
    ///
    /// Windows of a period follow one another without a gap and do not overlap: a day is from one reset
    /// to the next, of 23 or 25 hours when the clocks change. Hours are those of UTC in every zone.
    pub fn window(&self, period: Period, now: DateTime<Utc>) -> Window {
        let today = now.with_timezone(&self.time_zone).date_naive();
        match period {
            Period::Hour => hour(now),
            Period::Day => {
                let from = today.pred_opt().unwrap_or(today);
                self.around(now, |days| from.checked_add_days(Days::new(days.into())))
            }
            Period::Month => {
                let first = today.with_day(1).unwrap_or(today);
                let from = first.checked_sub_months(Months::new(1)).unwrap_or(first);
                self.around(now, |months| from.checked_add_months(Months::new(months)))
            }
            Period::Ever => Window::EVER,
        }
    }

    /// The window around `now`, of those that begin on the dates 0, 1, … where 0 is the period before
    /// that of today's date. Today's has begun by now or not; tomorrow's only where the clock went
    /// back over it.
    fn around(&self, now: DateTime<Utc>, date: impl Fn(u32) -> Option<NaiveDate>) -> Window {
        let mut window = Window::EVER;
        for reset in (0..=3).filter_map(date).filter_map(|date| self.reset(date)) {
            if reset > now {
                window.end = Some(reset);
                break;
            }
            window.start = reset;
        }
        window
    }

    /// The first moment at which the clock shows the reset of `date`, or is past it: what the clock
    /// shows twice counts the first time, and for what it leaps over the first moment after counts.
    fn reset(&self, date: NaiveDate) -> Option<DateTime<Utc>> {
        let local = date.and_time(self.reset_at);
        self.time_zone
            .from_local_datetime(&local)
            .earliest()
            .or_else(|| GapInfo::new(&local, &self.time_zone)?.end)
            .map(|reset| reset.to_utc())
    }
}

fn hour(now: DateTime<Utc>) -> Window {
    let hour = TimeDelta::hours(1);
    match now.duration_trunc(hour) {
        Ok(start) => Window {
            start,
            end: start.checked_add_signed(hour),
        },
        // Only centuries from now.
        Err(_) => Window::EVER,
    }
}

#[cfg(test)]
mod tests;

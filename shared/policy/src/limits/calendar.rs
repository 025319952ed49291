//! The windows of hours, days and months.

use chrono::{
    DateTime, Datelike as _, Days, DurationRound as _, Months, NaiveDate, NaiveTime, TimeDelta,
    TimeZone as _, Utc,
};
use chrono_tz::{GapInfo, Tz};

use super::Period;

/// When days and months begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    /// Default UTC.
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
    /// The first moment after it; absent if it never ends.
    pub end: Option<DateTime<Utc>>,
}

impl Window {
    /// The window that never ends.
    const EVER: Self = Self {
        start: DateTime::UNIX_EPOCH,
        end: None,
    };

    /// Identifies the window within its period: its start in ms since 1970, 0 for the window that never
    /// ends.
    pub fn id(&self) -> i64 {
        self.start.timestamp_millis()
    }

    /// Its end in ms since 1970.
    pub fn end_ms(&self) -> Option<i64> {
        self.end.map(|end| end.timestamp_millis())
    }
}

impl Calendar {
    /// The window of `period` that contains `now`.
    ///
    /// The windows of a period neither overlap nor leave gaps. A day lasts from one reset to the next:
    /// 23 or 25 hours when the clocks change. Hours are UTC hours in every zone.
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

    /// The window around `now`. `date` maps 0, 1, … to the dates on which windows begin, starting with
    /// the period before the current one. The current one may or may not have begun; the next one has
    /// only if the clock went back over its start.
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

    /// The first moment at which the clock shows the reset of `date` or has skipped it. Of a repeated
    /// time, the first occurrence counts.
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
        // Only far in the future.
        Err(_) => Window::EVER,
    }
}

#[cfg(test)]
mod tests;

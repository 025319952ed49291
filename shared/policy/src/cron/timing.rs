//! The schedule of a recurring job.

use std::{fmt, time::Duration};

use chrono::{DateTime, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::{GapInfo, Tz};
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use longshore_settings::{duration::format_duration, form::duration};

const SHORTEST: Duration = Duration::from_secs(1);

const LONGEST: Duration = Duration::from_hours(366 * 24);

/// When a recurring job runs: by a clock or at fixed intervals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timing {
    /// By a cron expression.
    Schedule {
        /// The expression as written.
        text: String,
        cron: Box<Cron>,
        /// The time zone of the expression.
        zone: Tz,
    },
    /// At the multiples of this duration since 1970, UTC; whole seconds.
    Every(Duration),
}

/// An invalid schedule, and what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTiming(String);

impl Timing {
    /// Parses a cron expression: five fields, six with leading seconds, or a shortcut such as `@daily`.
    pub fn schedule(text: &str, zone: Tz) -> Result<Self, BadTiming> {
        let expected = "expected minute, hour, day, month and weekday (and seconds before them, if \
                        you like), such as \"0 3 * * *\", or @hourly, @daily, @weekly, @monthly, @yearly";
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build();
        let cron = parser
            .parse(text)
            .map_err(|error| BadTiming(format!("{expected}, but got `{text}`: {error}")))?;
        let timing = Self::Schedule {
            text: text.trim().to_owned(),
            cron: Box::new(cron),
            zone,
        };
        if timing.next_after(DateTime::UNIX_EPOCH).is_none() {
            return Err(BadTiming(format!("`{text}` never comes; {expected}")));
        }
        Ok(timing)
    }

    /// Parses the time between two ticks.
    pub fn every(text: &str) -> Result<Self, BadTiming> {
        let form = duration(SHORTEST..=LONGEST);
        form.parse(text)
            .filter(|time| time.subsec_nanos() == 0)
            .map(Self::Every)
            .ok_or_else(|| {
                let expected = &form.expected;
                BadTiming(format!(
                    "expected {expected}, in whole seconds, but got `{text}`"
                ))
            })
    }

    /// The first tick after `time`.
    ///
    /// An expression that matches every hour follows elapsed time: an hour that the clock skips has no
    /// ticks, and an hour that it repeats has them twice. All other expressions name times of day: a
    /// tick in a skipped hour runs at the first moment after it, and a tick in a repeated hour runs the
    /// first time.
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Every(step) => {
                let step = i64::try_from(step.as_secs()).ok()?;
                let next = time.timestamp().div_euclid(step).checked_add(1)?;
                DateTime::from_timestamp_secs(next.checked_mul(step)?)
            }
            Self::Schedule { cron, zone, .. } => {
                let local = time.with_timezone(zone);
                if cron.pattern.hours.values().len() == 24 {
                    let next = cron.find_next_occurrence(&local, false).ok()?;
                    return Some(next.to_utc());
                }
                let mut clock = local.naive_local();
                loop {
                    // Searches on a clock without changes.
                    let next = cron.find_next_occurrence(&clock.and_utc(), false).ok()?;
                    clock = next.naive_utc();
                    let moment = first_moment(clock, *zone)?;
                    // Otherwise the clock shows this time for the second time.
                    if moment > time {
                        return Some(moment);
                    }
                }
            }
        }
    }
}

/// The first moment at which the clock shows this time or has skipped it.
fn first_moment(clock: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    zone.from_local_datetime(&clock)
        .earliest()
        .or_else(|| GapInfo::new(&clock, &zone)?.end)
        .map(|moment| moment.to_utc())
}

/// For people: `0 3 * * * (Europe/Berlin)`, `every 30s`.
impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schedule { text, zone, .. } => write!(f, "{text} ({zone})"),
            Self::Every(step) => write!(f, "every {}", format_duration(*step)),
        }
    }
}

//! Splits a period into whole days and hours, whose totals are kept, and the rest.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};

/// From a time up to another (exclusive). Empty if it does not begin before its end.
pub(super) type Span = Range<DateTime<Utc>>;

/// For which times the totals and the attempts are complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Completeness {
    /// The totals hold every attempt from this hour on; `None`: every attempt.
    pub(crate) totals_from: Option<DateTime<Utc>>,
    /// Attempts from before this time may have been deleted.
    pub(crate) pruned_before: Option<DateTime<Utc>>,
}

/// The parts of a period, none of which overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ranges {
    /// Whole days.
    pub(super) days: Span,
    /// Whole hours before and after the days.
    pub(super) hours: [Span; 2],
    /// What is left before and after the hours.
    pub(super) attempts: [Span; 2],
}

const HOUR: TimeDelta = TimeDelta::hours(1);
const DAY: TimeDelta = TimeDelta::days(1);

impl Ranges {
    /// Where attempts may have been deleted, an hour of which the period has a part counts as a whole.
    pub(super) fn split(period: Span, known: Completeness) -> Self {
        let pruned = |at| known.pruned_before.is_some_and(|before| at < before);
        let Span { mut start, mut end } = period;
        if pruned(start) {
            start = floor(start, HOUR);
        }
        if pruned(end) {
            end = ceil(end, HOUR);
        }
        let whole = Span {
            start: ceil(start, HOUR).max(known.totals_from.unwrap_or(DateTime::UNIX_EPOCH)),
            end: floor(end, HOUR),
        };
        if whole.start >= whole.end {
            return Self {
                days: end..end,
                hours: [end..end, end..end],
                attempts: [start..end, end..end],
            };
        }
        let attempts = [start..whole.start, whole.end..end];
        let days = ceil(whole.start, DAY)..floor(whole.end, DAY);
        let hours = if days.start < days.end {
            [whole.start..days.start, days.end..whole.end]
        } else {
            [whole.clone(), whole.end..whole.end]
        };
        Self {
            days,
            hours,
            attempts,
        }
    }
}

/// The latest whole `unit` (UTC) that does not begin after `at`.
pub(crate) fn floor(at: DateTime<Utc>, unit: TimeDelta) -> DateTime<Utc> {
    let micros = unit.num_microseconds().unwrap_or(1).max(1);
    DateTime::from_timestamp_micros(at.timestamp_micros().div_euclid(micros) * micros).unwrap_or(at)
}

/// The first whole `unit` (UTC) that does not begin before `at`.
pub(crate) fn ceil(at: DateTime<Utc>, unit: TimeDelta) -> DateTime<Utc> {
    let begun = floor(at, unit);
    if begun == at {
        return at;
    }
    begun.checked_add_signed(unit).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn hours(from: i64, to: i64) -> Span {
        let time = |minutes| DateTime::from_timestamp(minutes * 60, 0).unwrap();
        time(from)..time(to)
    }

    #[test]
    fn days_and_hours_are_as_many_as_fit() {
        let period = at("2026-11-01T22:30:00Z")..at("2026-11-04T01:10:00Z");
        let ranges = Ranges::split(period, Completeness::default());
        assert_eq!(
            ranges,
            Ranges {
                days: at("2026-11-02T00:00:00Z")..at("2026-11-04T00:00:00Z"),
                hours: [
                    at("2026-11-01T23:00:00Z")..at("2026-11-02T00:00:00Z"),
                    at("2026-11-04T00:00:00Z")..at("2026-11-04T01:00:00Z"),
                ],
                attempts: [
                    at("2026-11-01T22:30:00Z")..at("2026-11-01T23:00:00Z"),
                    at("2026-11-04T01:00:00Z")..at("2026-11-04T01:10:00Z"),
                ],
            }
        );
    }

    #[test]
    fn a_part_of_an_hour_without_attempts_counts_as_the_hour() {
        let period = at("2026-11-01T22:30:00Z")..at("2026-11-01T22:40:00Z");
        let known = Completeness {
            pruned_before: Some(at("2026-11-02T00:00:00Z")),
            ..Completeness::default()
        };
        let ranges = Ranges::split(period.clone(), known);
        assert_eq!(
            ranges.hours[0],
            at("2026-11-01T22:00:00Z")..at("2026-11-01T23:00:00Z")
        );
        let ranges = Ranges::split(period.clone(), Completeness::default());
        assert_eq!(ranges.attempts[0], period);
    }

    #[test]
    fn all_time_is_days() {
        let all = DateTime::UNIX_EPOCH..DateTime::<Utc>::MAX_UTC;
        let ranges = Ranges::split(all, Completeness::default());
        assert_eq!(ranges.days.start, DateTime::UNIX_EPOCH);
        assert!(ranges.days.end > at("9999-01-01T00:00:00Z"));
    }

    proptest! {
        #[test]
        fn each_time_of_the_period_is_in_one_part(
            from in 0..10_000_i64,
            length in 0..10_000_i64,
            totals_from in prop::option::of(0..200_i64),
        ) {
            let known = Completeness {
                totals_from: totals_from.map(|hour| hours(hour * 60, 0).start),
                pruned_before: None,
            };
            let period = hours(from, from + length);
            let ranges = Ranges::split(period.clone(), known);
            let parts: Vec<Span> = std::iter::once(ranges.days.clone())
                .chain(ranges.hours.clone())
                .chain(ranges.attempts.clone())
                .collect();
            for minute in (from - 100)..(from + length + 100) {
                let time = hours(minute, 0).start;
                let found = parts.iter().filter(|part| part.contains(&time)).count();
                prop_assert_eq!(found, usize::from(period.contains(&time)));
            }
            for part in std::iter::once(&ranges.days).chain(&ranges.hours) {
                if part.start < part.end {
                    prop_assert!(known.totals_from.is_none_or(|from| part.start >= from));
                    prop_assert_eq!((floor(part.start, HOUR), floor(part.end, HOUR)), (part.start, part.end));
                }
            }
        }
    }
}

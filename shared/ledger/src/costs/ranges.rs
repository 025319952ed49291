//! Splits a period into whole days and hours, whose totals are kept, and the rest, whose attempts are read.

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

/// The parts of a period. They do not overlap, except that [excess](Rest::is_excess) is a part of the days and hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ranges {
    /// Whole days.
    pub(super) days: Span,
    /// Whole hours before and after the days.
    pub(super) hours: [Span; 2],
    /// Parts of the hours at the start and at the end.
    pub(super) rests: [Rest; 2],
}

/// A part of an hour. Reading attempts takes longer than reading totals, so it is the smaller part: what the period has of
/// the hour, or what it has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) span: Span,
    /// The hour counts as a whole, and this is not in the period.
    pub(super) is_excess: bool,
}

pub(super) const HOUR: TimeDelta = TimeDelta::hours(1);
const HALF_HOUR: TimeDelta = TimeDelta::minutes(30);
pub(super) const DAY: TimeDelta = TimeDelta::days(1);

impl Rest {
    fn missing(span: Span) -> Self {
        Self {
            span,
            is_excess: false,
        }
    }

    fn excess(span: Span) -> Self {
        Self {
            span,
            is_excess: true,
        }
    }

    /// What to multiply the figures of the attempts with.
    pub(super) fn sign(&self) -> i32 {
        if self.is_excess { -1 } else { 1 }
    }
}

impl Completeness {
    /// Whether attempts from before this time may have been deleted.
    fn is_pruned(&self, at: DateTime<Utc>) -> bool {
        self.pruned_before.is_some_and(|before| at < before)
    }

    /// Whether an hour has both its total and all its attempts.
    fn has_hour(&self, hour: DateTime<Utc>) -> bool {
        self.totals_from.is_none_or(|from| hour >= from) && !self.is_pruned(hour)
    }
}

impl Ranges {
    /// Where attempts may have been deleted, an hour of which the period has a part counts as a whole.
    pub(super) fn split(period: Span, known: Completeness) -> Self {
        let Span { mut start, mut end } = period;
        if known.is_pruned(start) {
            start = floor(start, HOUR);
        }
        if known.is_pruned(end) {
            end = ceil(end, HOUR);
        }
        let (whole_start, before) = round_start(start, known);
        let (whole_end, after) = round_end(end, known);
        let whole = whole_start..whole_end;
        if whole.start >= whole.end {
            return Self {
                days: end..end,
                hours: [end..end, end..end],
                rests: [Rest::missing(start..end), Rest::missing(end..end)],
            };
        }
        let days = ceil(whole.start, DAY)..floor(whole.end, DAY);
        let hours = if days.start < days.end {
            [whole.start..days.start, days.end..whole.end]
        } else {
            [whole.clone(), whole.end..whole.end]
        };
        Self {
            days,
            hours,
            rests: [before, after],
        }
    }
}

/// The first whole hour of a period that starts then, and the rest.
fn round_start(start: DateTime<Utc>, known: Completeness) -> (DateTime<Utc>, Rest) {
    let hour = floor(start, HOUR);
    if hour < start && start - hour < HALF_HOUR && known.has_hour(hour) {
        return (hour, Rest::excess(hour..start));
    }
    let next = ceil(start, HOUR).max(known.totals_from.unwrap_or(DateTime::UNIX_EPOCH));
    (next, Rest::missing(start..next))
}

/// The end of the last whole hour of a period that ends then, and the rest.
fn round_end(end: DateTime<Utc>, known: Completeness) -> (DateTime<Utc>, Rest) {
    let hour = floor(end, HOUR);
    let next = ceil(end, HOUR);
    if end < next && end - hour > HALF_HOUR && known.has_hour(hour) {
        return (next, Rest::excess(end..next));
    }
    (hour, Rest::missing(hour..end))
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

    fn rest(span: Span, is_excess: bool) -> Rest {
        Rest { span, is_excess }
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
                rests: [
                    rest(
                        at("2026-11-01T22:30:00Z")..at("2026-11-01T23:00:00Z"),
                        false
                    ),
                    rest(
                        at("2026-11-04T01:00:00Z")..at("2026-11-04T01:10:00Z"),
                        false
                    ),
                ],
            }
        );
    }

    #[test]
    fn the_smaller_part_of_an_hour_is_read() {
        let period = at("2026-11-01T22:10:00Z")..at("2026-11-01T23:50:00Z");
        let ranges = Ranges::split(period, Completeness::default());
        assert_eq!(
            ranges.hours[0],
            at("2026-11-01T22:00:00Z")..at("2026-11-02T00:00:00Z")
        );
        assert_eq!(
            ranges.rests,
            [
                rest(at("2026-11-01T22:00:00Z")..at("2026-11-01T22:10:00Z"), true),
                rest(at("2026-11-01T23:50:00Z")..at("2026-11-02T00:00:00Z"), true),
            ]
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
        assert_eq!(ranges.rests[0], rest(period, false));
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
        fn each_time_of_the_period_counts_once(
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
            let whole: Vec<Span> = std::iter::once(ranges.days.clone())
                .chain(ranges.hours.clone())
                .collect();
            for minute in (from - 100)..(from + length + 100) {
                let time = hours(minute, 0).start;
                let whole = whole.iter().filter(|part| part.contains(&time)).count();
                let whole = i32::try_from(whole).unwrap();
                let rests = ranges.rests.iter().filter(|rest| rest.span.contains(&time));
                let rests: i32 = rests.map(Rest::sign).sum();
                prop_assert_eq!(whole + rests, i32::from(period.contains(&time)));
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

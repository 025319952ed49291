//! Since when a limit counts what it counts.
//!
//! A limit that is introduced, or changed, in the middle of a window has missed calls of that window, or has counted
//! calls that it should not. The record of a limit says what it counted when; the ledger knows the calls. Together they
//! give the amount by which the meter is wrong.

use chrono::{DateTime, Utc, serde::ts_milliseconds};
use serde::{Deserialize, Serialize};

use super::{CountedCalls, DefinitionId, WindowDefinition};

/// The most spans that are remembered. Only those of the current window matter.
const MOST_SPANS: usize = 32;

/// What a limit counted when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRecord {
    /// Ascending; each lasts until the next one begins.
    spans: Vec<CountingSpan>,
    /// Whether all calls that began before the last span are in the ledger, and so in the meter.
    pub is_exact: bool,
}

/// What a limit counts from a time on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountingSpan {
    #[serde(rename = "from_ms", with = "ts_milliseconds")]
    pub from: DateTime<Utc>,
    /// `None`: nothing, because the limit did not exist.
    pub definition: Option<WindowDefinition>,
}

/// Calls that began in a span of time and by which a meter is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncountedCalls<'a> {
    pub calls: &'a CountedCalls,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// Whether the meter has them and should not; otherwise it lacks them.
    pub is_excess: bool,
}

impl LimitRecord {
    /// A limit that always counted this.
    pub fn complete(definition: WindowDefinition) -> Self {
        Self {
            spans: vec![CountingSpan {
                from: DateTime::UNIX_EPOCH,
                definition: Some(definition),
            }],
            is_exact: true,
        }
    }

    /// The record once the limit counts something else from `from` on: `None` = nothing.
    #[must_use]
    pub fn changed(
        previous: Option<&Self>,
        definition: Option<WindowDefinition>,
        from: DateTime<Utc>,
    ) -> Self {
        let unknown = [CountingSpan {
            from: DateTime::UNIX_EPOCH,
            definition: None,
        }];
        let spans = previous.map_or(unknown.as_slice(), |record| &record.spans);
        let is_exact = definition.is_none();
        let mut spans: Vec<CountingSpan> = spans
            .iter()
            .cloned()
            .chain([CountingSpan { from, definition }])
            .collect();
        let first = spans.len().saturating_sub(MOST_SPANS);
        Self {
            spans: spans.split_off(first),
            is_exact,
        }
    }

    /// The same limit once nothing is missing any more.
    #[must_use]
    pub fn exact(&self) -> Self {
        Self {
            is_exact: true,
            ..self.clone()
        }
    }

    /// Since when it counts what it counts now.
    pub fn counts_since(&self) -> DateTime<Utc> {
        self.spans
            .last()
            .map_or(DateTime::UNIX_EPOCH, |span| span.from)
    }

    /// What it counts now; `None` if the limit does not exist any more.
    pub fn definition(&self) -> Option<&WindowDefinition> {
        self.spans.last()?.definition.as_ref()
    }

    /// What identifies that in the meters.
    pub fn definition_id(&self) -> Option<DefinitionId> {
        self.definition().map(WindowDefinition::id)
    }

    /// The calls by which the meters of the window that began at `start` are wrong.
    pub fn uncounted(&self, start: DateTime<Utc>) -> Vec<UncountedCalls<'_>> {
        let Some(now) = self.definition() else {
            return Vec::new();
        };
        let mut uncounted = Vec::new();
        for pair in self.spans.windows(2) {
            let [span, next] = pair else { continue };
            let (from, to) = (span.from.max(start), next.from);
            // The same meter counted in this span.
            let before = span
                .definition
                .as_ref()
                .filter(|before| before.has_windows_of(now) || *before == now);
            if from >= to || before.is_some_and(|before| before.calls == now.calls) {
                continue;
            }
            let calls = |calls, is_excess| UncountedCalls {
                calls,
                from,
                to,
                is_excess,
            };
            uncounted.push(calls(&now.calls, false));
            uncounted.extend(before.map(|before| calls(&before.calls, true)));
        }
        uncounted
    }
}

#[cfg(test)]
mod tests {
    use longshore_protocol::platform::PlatformName;

    use super::*;
    use crate::limits::{Calendar, Period, Unit};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn counting(calls: CountedCalls, period: Period) -> WindowDefinition {
        WindowDefinition::new(calls, Unit::NanoUsd, period, Calendar::default())
    }

    fn of(platform: &str) -> CountedCalls {
        CountedCalls::Platforms([PlatformName::from_stored(platform)].into())
    }

    /// What a meter lacks (`+`) and has too much (`-`), and when.
    fn wrong(record: &LimitRecord, start: i64) -> Vec<(char, CountedCalls, i64, i64)> {
        record
            .uncounted(at(start))
            .into_iter()
            .map(|one| {
                let sign = if one.is_excess { '-' } else { '+' };
                let (from, to) = (one.from.timestamp(), one.to.timestamp());
                (sign, one.calls.clone(), from, to)
            })
            .collect()
    }

    #[test]
    fn a_new_limit_lacks_what_was_before_it() {
        let day = counting(CountedCalls::All, Period::Day);
        let record = LimitRecord::changed(None, Some(day.clone()), at(500));
        assert_eq!(wrong(&record, 100), [('+', CountedCalls::All, 100, 500)]);
        assert_eq!(wrong(&record, 500), [], "the window began with it");
        assert!(!record.is_exact);
        assert_eq!(wrong(&LimitRecord::complete(day), 100), []);
    }

    #[test]
    fn a_limit_that_returns_lacks_what_was_in_between() {
        let day = counting(CountedCalls::All, Period::Day);
        let record = LimitRecord::complete(day.clone());
        let gone = LimitRecord::changed(Some(&record), None, at(300));
        assert_eq!(wrong(&gone, 100), []);
        assert!(gone.is_exact);
        let back = LimitRecord::changed(Some(&gone), Some(day), at(500));
        assert_eq!(wrong(&back, 100), [('+', CountedCalls::All, 300, 500)]);
        assert_eq!(wrong(&back, 400), [('+', CountedCalls::All, 400, 500)]);
    }

    #[test]
    fn a_limit_that_counts_other_calls_has_some_too_many() {
        let narrow = counting(of("a"), Period::Day);
        let record = LimitRecord::complete(narrow.clone());
        let wide = counting(CountedCalls::All, Period::Day);
        let record = LimitRecord::changed(Some(&record), Some(wide), at(500));
        assert_eq!(
            wrong(&record, 100),
            [('+', CountedCalls::All, 100, 500), ('-', of("a"), 100, 500)]
        );
        // It counts the first platform again: what it lacks is what it did not count in between, less what it did.
        let record = LimitRecord::changed(Some(&record), Some(narrow), at(700));
        assert_eq!(
            wrong(&record, 100),
            [('+', of("a"), 500, 700), ('-', CountedCalls::All, 500, 700)]
        );
    }

    #[test]
    fn another_window_and_the_sums_of_each_begin_with_nothing() {
        let day = LimitRecord::complete(counting(CountedCalls::All, Period::Day));
        for definition in [
            counting(CountedCalls::All, Period::Month),
            counting(CountedCalls::EachTenant, Period::Day),
        ] {
            let calls = definition.calls.clone();
            let record = LimitRecord::changed(Some(&day), Some(definition), at(500));
            assert_eq!(wrong(&record, 100), [('+', calls, 100, 500)]);
        }
    }

    #[test]
    fn definitions_have_ids() {
        let day = counting(CountedCalls::All, Period::Day);
        assert_eq!(day.id(), day.clone().id());
        assert_ne!(day.id(), counting(of("a"), Period::Day).id());
        assert_ne!(day.id(), counting(CountedCalls::All, Period::Hour).id());
    }
}

//! A provider's limits per minute and per day.

use std::time::Duration;

use chrono::{NaiveTime, Timelike as _};
use serde::{Deserialize, Serialize};

const MINUTE_US: u64 = 60_000_000;
const DAY_US: u64 = 24 * 60 * MINUTE_US;

/// A provider's limits; an absent one does not limit. Limits per minute apply to every window of 60 seconds.
/// Calls rejected by a limit do not count against any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Calls in any 60 seconds.
    pub requests_per_minute: Option<u32>,
    /// Tokens in any 60 seconds, of prompts and of their answers.
    pub tokens_per_minute: Option<u64>,
    /// Calls in a day.
    pub requests_per_day: Option<u32>,
    /// When a day begins, in UTC: `HH:MM` or `HH:MM:SS`. Absent, at midnight.
    pub reset_at: Option<NaiveTime>,
}

impl Limits {
    /// When the day of `now` began, both in microseconds since 1970.
    fn day_of(&self, now: u64) -> u64 {
        let begins = self
            .reset_at
            .unwrap_or_default()
            .num_seconds_from_midnight();
        let into = (now + DAY_US - u64::from(begins) * 1_000_000) % DAY_US;
        now - into
    }
}

/// The state of a limit per minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Allowed in a minute.
    pub(super) limit: u64,
    /// Remaining now.
    pub(super) remaining: u64,
    /// The time until the next call fits, if this one did not; else until the limit is unused again.
    pub(super) reset: Duration,
}

/// The state of the limits, as in the rate-limit headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) requests: Option<Room>,
    pub(super) tokens: Option<Room>,
}

/// What a limit of a minute counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Requests,
    Tokens,
}

/// The limit that a call did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// One of a minute, with its room.
    Minute(Unit, Room, Standing),
    /// The day's quota, of so many calls.
    Day(u32),
}

/// The result of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It was accepted and billed, whether or not the answer arrived.
    Served,
    /// It was accepted, and failed without a bill.
    Failed,
    /// A limit rejected it.
    Limited,
}

/// A call that reached the limits; malformed calls and those without a key do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Microseconds since 1970, independent of steps of the machine's clock.
    pub at_us: u64,
    /// The tokens that count against a limit.
    pub tokens: u32,
    /// Its result.
    pub fate: Fate,
}

impl Arrival {
    fn counts(&self) -> bool {
        self.fate != Fate::Limited
    }
}

/// All calls in the order of their arrival, and how many of them still count.
#[derive(Debug, Default)]
pub(super) struct Log {
    arrivals: Vec<Arrival>,
    /// Arrivals before this index no longer count.
    recent: usize,
    /// When the newest accepted call arrived.
    newest: u64,
    /// Accepted calls and tokens since `recent`.
    requests: u64,
    tokens: u64,
    /// The maximum of `requests` so far.
    most: u64,
    limited: u64,
    failed: u64,
    /// The start of the day whose calls `today` counts.
    day: u64,
    today: u64,
}

impl Log {
    /// Checks one call with this many tokens. Returns the index of the arrival, for [`Log::failed`], and the
    /// state of the limits.
    pub(super) fn take(
        &mut self,
        limits: &Limits,
        now: u64,
        tokens: u32,
    ) -> Result<(usize, Standing), Full> {
        self.forget_old(now);
        let found = self.check(limits, now, tokens);
        let fate = match found {
            Ok(()) => Fate::Served,
            Err(_) => Fate::Limited,
        };
        self.arrivals.push(Arrival {
            at_us: now,
            tokens,
            fate,
        });
        if let Err(full) = found {
            self.limited += 1;
            return Err(full);
        }
        self.requests += 1;
        self.tokens += u64::from(tokens);
        self.today += 1;
        self.newest = now;
        self.most = self.most.max(self.requests);
        Ok((self.arrivals.len() - 1, self.standing(limits, now)))
    }

    fn check(&mut self, limits: &Limits, now: u64, tokens: u32) -> Result<(), Full> {
        if let Some(limit) = limits.requests_per_day {
            self.begin_day(limits.day_of(now));
            if self.today >= u64::from(limit) {
                return Err(Full::Day(limit));
            }
        }
        let full = |unit, limit, remaining, need| {
            let room = Room {
                limit,
                remaining,
                reset: self.until_free(now, unit, need),
            };
            Full::Minute(unit, room, self.standing(limits, now))
        };
        if let Some(limit) = limits.requests_per_minute.map(u64::from)
            && self.requests >= limit
        {
            return Err(full(Unit::Requests, limit, 0, self.requests - limit + 1));
        }
        if let Some(limit) = limits.tokens_per_minute {
            let asked = self.tokens + u64::from(tokens);
            if asked > limit {
                let left = limit.saturating_sub(self.tokens);
                return Err(full(Unit::Tokens, limit, left, asked - limit));
            }
        }
        Ok(())
    }

    /// Counts the calls of the day that began then, unless they have been counted already.
    fn begin_day(&mut self, day: u64) {
        if self.day != day {
            let first = self.arrivals.partition_point(|one| one.at_us < day);
            let of_day = self.arrivals.iter().skip(first);
            self.day = day;
            self.today = of_day.filter(|one| one.counts()).count() as u64;
        }
    }

    fn forget_old(&mut self, now: u64) {
        while let Some(oldest) = self.arrivals.get(self.recent) {
            if oldest.counts() {
                if now.saturating_sub(oldest.at_us) < MINUTE_US {
                    break;
                }
                self.requests -= 1;
                self.tokens -= u64::from(oldest.tokens);
            }
            self.recent += 1;
        }
    }

    /// The time until this much is free again; a minute if nothing is used.
    fn until_free(&self, now: u64, unit: Unit, need: u64) -> Duration {
        let mut freed = 0;
        let recent = self.arrivals.iter().skip(self.recent);
        for arrival in recent.filter(|one| one.counts()) {
            freed += match unit {
                Unit::Requests => 1,
                Unit::Tokens => u64::from(arrival.tokens),
            };
            if freed >= need {
                return left(arrival.at_us, now);
            }
        }
        Duration::from_micros(MINUTE_US)
    }

    fn standing(&self, limits: &Limits, now: u64) -> Standing {
        let room = |limit: u64, used: u64| Room {
            limit,
            remaining: limit.saturating_sub(used),
            reset: left(self.newest, now),
        };
        Standing {
            requests: limits
                .requests_per_minute
                .map(|limit| room(limit.into(), self.requests)),
            tokens: limits
                .tokens_per_minute
                .map(|limit| room(limit, self.tokens)),
        }
    }

    /// Marks an accepted call as failed.
    pub(super) fn failed(&mut self, number: usize) {
        if let Some(arrival) = self.arrivals.get_mut(number) {
            arrival.fate = Fate::Failed;
            self.failed += 1;
        }
    }

    /// At most `limit` arrivals starting at index `since`.
    pub(super) fn page(&self, since: usize, limit: usize) -> Vec<Arrival> {
        let page = self.arrivals.iter().skip(since).take(limit);
        page.copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.arrivals.len()
    }

    /// Calls rejected by a limit, and accepted calls that failed.
    pub(super) fn limited_and_failed(&self) -> (u64, u64) {
        (self.limited, self.failed)
    }

    /// The most accepted calls in any 60 seconds.
    pub(super) fn most_in_a_minute(&self) -> u64 {
        self.most
    }

    /// When the first and the last call arrived.
    pub(super) fn span(&self) -> Option<(u64, u64)> {
        let (first, last) = (self.arrivals.first()?, self.arrivals.last()?);
        Some((first.at_us, last.at_us))
    }
}

/// How long a call at `at` still counts.
fn left(at: u64, now: u64) -> Duration {
    Duration::from_micros(MINUTE_US.saturating_sub(now.saturating_sub(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    /// Noon of some day.
    const START: u64 = 20_000 * DAY_US + DAY_US / 2;

    fn of_minute(requests: Option<u32>, tokens: Option<u64>) -> Limits {
        Limits {
            requests_per_minute: requests,
            tokens_per_minute: tokens,
            ..Limits::default()
        }
    }

    /// Asks at a number of seconds after the start; the requests left, or the seconds to wait.
    fn ask(log: &mut Log, limits: &Limits, second: u64, tokens: u32) -> Result<u64, u64> {
        match log.take(limits, START + second * SECOND, tokens) {
            Ok((_, standing)) => Ok(standing.requests.map_or(0, |room| room.remaining)),
            Err(Full::Minute(_, room, _)) => Err(room.reset.as_secs()),
            Err(Full::Day(_)) => Err(u64::MAX),
        }
    }

    #[test]
    fn no_minute_holds_more_requests_than_the_limit() {
        let (mut log, two) = (Log::default(), of_minute(Some(2), None));
        assert_eq!(ask(&mut log, &two, 0, 1), Ok(1));
        assert_eq!(ask(&mut log, &two, 50, 1), Ok(0));
        assert_eq!(ask(&mut log, &two, 55, 1), Err(5));
        // The rejection did not extend the wait, and the window is open at its end.
        assert!(log.take(&two, START + 60 * SECOND - 1, 1).is_err());
        assert_eq!(ask(&mut log, &two, 60, 1), Ok(0));
        assert_eq!(ask(&mut log, &two, 61, 1), Err(49));
        assert_eq!(ask(&mut log, &of_minute(Some(0), None), 300, 1), Err(60));
        assert_eq!(log.most_in_a_minute(), 2);
        assert_eq!((log.len(), log.limited_and_failed()), (7, (4, 0)));
    }

    #[test]
    fn no_minute_holds_more_tokens_than_the_limit() {
        let (mut log, limits) = (Log::default(), of_minute(None, Some(100)));
        assert!(ask(&mut log, &limits, 0, 40).is_ok());
        assert!(ask(&mut log, &limits, 10, 40).is_ok());
        // 30 more fit when the first 40 have left, 70 when the second have left, too.
        assert_eq!(ask(&mut log, &limits, 20, 30), Err(40));
        assert_eq!(ask(&mut log, &limits, 20, 70), Err(50));
        assert!(ask(&mut log, &limits, 20, 20).is_ok());
        assert_eq!(ask(&mut log, &limits, 20, 101), Err(60), "never");
    }

    #[test]
    fn limits_count_what_came_before_they_were_set() {
        let mut log = Log::default();
        for second in 0..90 {
            ask(&mut log, &Limits::default(), second, 1).unwrap();
        }
        assert_eq!(log.most_in_a_minute(), 60);
        let limits = of_minute(Some(61), None);
        assert_eq!(ask(&mut log, &limits, 90, 1), Ok(1), "59 and this one");
    }

    #[test]
    fn a_day_ends_when_it_is_said_to() {
        let limits = Limits {
            requests_per_day: Some(1),
            reset_at: Some("13:45".parse().unwrap()),
            ..Limits::default()
        };
        let reset = 105 * 60;
        let mut log = Log::default();
        assert!(ask(&mut log, &limits, 0, 1).is_ok());
        assert_eq!(ask(&mut log, &limits, reset - 1, 1), Err(u64::MAX));
        assert!(ask(&mut log, &limits, reset, 1).is_ok());
        assert_eq!(ask(&mut log, &limits, reset + 1, 1), Err(u64::MAX));
        assert_eq!(ask(&mut log, &limits, reset + 86_399, 1), Err(u64::MAX));
        assert!(ask(&mut log, &limits, reset + 86_400, 1).is_ok());
    }

    #[test]
    fn a_failed_call_counts() {
        let (mut log, one) = (Log::default(), of_minute(Some(1), None));
        let (number, _) = log.take(&one, START, 1).unwrap();
        log.failed(number);
        assert_eq!(ask(&mut log, &one, 1, 1), Err(59));
        assert_eq!(log.page(0, 1)[0].fate, Fate::Failed);
        assert_eq!(log.limited_and_failed(), (1, 1));
        assert_eq!(log.span(), Some((START, START + SECOND)));
    }
}

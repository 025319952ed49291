//! Faults that are set from outside, for every call of a provider.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::markers::Ending;

/// Faults and their rates, which are between 0 and 1 and add up to 1 at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// How long an answer takes, in milliseconds; absent, what the simulator was started with.
    pub latency_ms: Option<u64>,
    /// At most this much is added to the latency at random, in milliseconds; absent, what the
    /// simulator was started with.
    pub jitter_ms: Option<u64>,
    /// Share of calls rejected with 429.
    pub rate_429: f64,
    /// Share of calls rejected with 500.
    pub rate_500: f64,
    /// Share of calls rejected with 503.
    pub rate_503: f64,
    /// Share of calls whose connection closes with no answer and no bill.
    pub rate_drop: f64,
    /// Share of calls whose connection closes with no answer, after the bill.
    pub rate_drop_billed: f64,
    /// Share of calls billed and answered with 200 and something that is no JSON.
    pub rate_garbage: f64,
    /// Share of calls billed and never answered.
    pub rate_hang: f64,
    /// The `retry-after` of a 429 or 503 caused by a rate, in seconds.
    pub retry_after_s: Option<f64>,
    /// How long the faults last, in milliseconds; absent, until they are changed.
    pub for_ms: Option<u64>,
}

/// The random fault of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chance {
    Nothing,
    Status(u16),
    Ending(Ending),
}

impl Faults {
    fn rates(&self) -> [(&'static str, f64, Chance); 7] {
        [
            ("rate_429", self.rate_429, Chance::Status(429)),
            ("rate_500", self.rate_500, Chance::Status(500)),
            ("rate_503", self.rate_503, Chance::Status(503)),
            ("rate_drop", self.rate_drop, Chance::Ending(Ending::Dropped)),
            (
                "rate_drop_billed",
                self.rate_drop_billed,
                Chance::Ending(Ending::DroppedBilled),
            ),
            (
                "rate_garbage",
                self.rate_garbage,
                Chance::Ending(Ending::Garbage),
            ),
            ("rate_hang", self.rate_hang, Chance::Ending(Ending::Hung)),
        ]
    }

    /// Checks these faults; the error says what is invalid.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut sum = 0.0;
        for (name, rate, _) in self.rates() {
            if !(0.0..=1.0).contains(&rate) {
                return Err(format!("{name} is {rate}; it must lie between 0 and 1"));
            }
            sum += rate;
        }
        // Ten tenths add up to a little more than one in binary.
        if sum > 1.0 + 1e-9 {
            return Err(format!("the rates add up to {sum}; they must not exceed 1"));
        }
        if let Some(seconds) = self.retry_after_s
            && !(0.0..=86_400.0).contains(&seconds)
        {
            return Err(format!(
                "retry_after_s is {seconds}; it must lie between 0 and 86400"
            ));
        }
        Ok(())
    }

    /// The fault of one call, for a `draw` that is uniform in 0..1.
    pub(super) fn befall(&self, draw: f64) -> Chance {
        let mut below = 0.0;
        for (_, rate, chance) in self.rates() {
            below += rate;
            if draw < below {
                return chance;
            }
        }
        Chance::Nothing
    }

    /// The `retry-after` of an error caused by a rate.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after_s
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }
}

/// Faults ready for use, with their end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Active {
    pub(super) faults: Faults,
    /// False when no rate is set, so that most calls need no random number.
    pub(super) chancy: bool,
    until: Option<Instant>,
}

impl Active {
    /// These faults, from `now` on.
    pub(super) fn from(faults: Faults, now: Instant) -> Self {
        Self {
            faults,
            chancy: faults.rates().iter().any(|(_, rate, _)| *rate > 0.0),
            until: faults
                .for_ms
                .and_then(|ms| now.checked_add(Duration::from_millis(ms))),
        }
    }

    /// The faults that are still active at the time that `now` returns.
    pub(super) fn at(self, now: impl FnOnce() -> Instant) -> Self {
        match self.until {
            Some(until) if now() >= until => Self::default(),
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_picks_a_fault_by_its_share() {
        let faults = Faults {
            rate_429: 0.25,
            rate_drop: 0.5,
            ..Faults::default()
        };
        assert_eq!(faults.befall(0.0), Chance::Status(429));
        assert_eq!(faults.befall(0.25), Chance::Ending(Ending::Dropped));
        assert_eq!(faults.befall(0.75), Chance::Nothing);
        assert_eq!(Faults::default().befall(0.0), Chance::Nothing);
    }

    #[test]
    fn impossible_faults_are_named() {
        let wrong = Faults {
            rate_500: 1.5,
            ..Faults::default()
        };
        assert!(wrong.check().unwrap_err().contains("rate_500"));
        let wrong = Faults {
            rate_500: 0.6,
            rate_hang: 0.6,
            ..Faults::default()
        };
        assert!(wrong.check().unwrap_err().contains("add up"));
        let wrong = Faults {
            retry_after_s: Some(-1.0),
            ..Faults::default()
        };
        assert!(wrong.check().unwrap_err().contains("retry_after_s"));
        let tenths = Faults {
            rate_429: 0.7,
            rate_500: 0.1,
            rate_503: 0.2,
            ..Faults::default()
        };
        assert_eq!(tenths.check(), Ok(()));
    }

    #[test]
    fn an_outage_ends_by_itself() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let faults = Faults {
            rate_503: 1.0,
            latency_ms: Some(5),
            for_ms: Some(100),
            ..Faults::default()
        };
        let outage = Active::from(faults, start);
        assert!(outage.at(|| after(99)).chancy);
        let over = outage.at(|| after(100));
        assert_eq!((over.faults, over.chancy), (Faults::default(), false));
        let lasting = Faults {
            for_ms: None,
            ..faults
        };
        assert!(Active::from(lasting, start).at(|| after(100_000)).chancy);
    }
}

//! How a limit a minute is spread over the minute.

const MINUTE_MICROS: u64 = 60_000_000;

/// A limit a minute, evenly paced by the generic cell rate algorithm (GCRA, ITU-T I.371): a full bucket
/// of `burst` units may go at once, and what went flows back at `rate` units a minute.
///
/// One time is kept, `full_at`, at which the bucket will be full again. A call of `cost` microseconds may go
/// at `now` if `full_at + cost <= now + depth`, or if the bucket is full (`full_at <= now`); then `full_at`
/// becomes `max(full_at, now) + cost`. Otherwise it may go at `full_at + cost - depth`, but no later than
/// `full_at`.
///
/// A minute can begin with a full bucket, so that `burst` and `rate` together must not be more than the
/// limit: `rate` is `limit - burst + 1` (the unit that would be the first of the next minute is not in
/// this one). With that, no half-open span of 60 s holds more than the limit. A call of more units than
/// `burst` waits for a full bucket; the minute before its end can hold `amount - burst` more than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// Units that may go at once.
    pub burst: u64,
    /// Units a minute that go in the long run.
    pub rate: u64,
    /// What a full bucket holds, in microseconds of its flow.
    pub depth_micros: u64,
}

impl Pacing {
    /// For calls, a unit each: a hundredth of the limit at once, so that 99 % of it goes in the long run;
    /// under 100 a minute one at a time, and all of it.
    pub fn requests(limit: u64) -> Self {
        let burst = 1 + limit / 100;
        let mut pacing = Self::new(limit, burst);
        // Whole calls: each is rounded up to a microsecond, and `burst` of them fit.
        pacing.depth_micros = burst.saturating_mul(pacing.cost_micros(1));
        pacing
    }

    /// For tokens, many to a call: a tenth of the limit at once, so that 90 % of it goes in the long run.
    pub fn tokens(limit: u64) -> Self {
        Self::new(limit, (limit / 10).max(1))
    }

    fn new(limit: u64, burst: u64) -> Self {
        let rate = limit.saturating_sub(burst).saturating_add(1);
        Self {
            burst,
            rate,
            depth_micros: burst.saturating_mul(MINUTE_MICROS) / rate,
        }
    }

    /// The time in which `amount` units flow back, in microseconds, rounded up.
    pub fn cost_micros(&self, amount: u64) -> u64 {
        amount.saturating_mul(MINUTE_MICROS).div_ceil(self.rate)
    }

    /// The units that may go at once when the bucket is full again in so many microseconds, rounded down.
    pub fn free(&self, full_in_micros: u64) -> u64 {
        let micros = self.depth_micros.saturating_sub(full_in_micros);
        let units = u128::from(micros) * u128::from(self.rate) / u128::from(MINUTE_MICROS);
        // Calls are rounded up to whole microseconds: their bucket is a little deeper than `burst`.
        u64::try_from(units).unwrap_or(u64::MAX).min(self.burst)
    }
}

#[cfg(test)]
mod tests;

//! Spreads a limit per minute over the minute.

const MINUTE_MICROS: u64 = 60_000_000;

/// A limit per minute, paced by the generic cell rate algorithm (GCRA, ITU-T I.371): `burst` units may
/// go at once from a full bucket, which refills at `rate` units per minute.
///
/// The only state is `full_at`, the time at which the bucket will be full again. A call that costs
/// `cost` microseconds may start at `now` if `full_at + cost <= now + depth`, or if the bucket is full
/// (`full_at <= now`); then `full_at` becomes `max(full_at, now) + cost`. Otherwise it may start at
/// `full_at + cost - depth`, but no later than `full_at`.
///
/// A minute can begin with a full bucket, so `burst` and `rate` together must not exceed the limit:
/// `rate` is `limit - burst + 1` (the unit that would be the first of the next minute is not in this
/// one). This guarantees that no half-open span of 60 s holds more than the limit. A call of more units
/// than `burst` waits for a full bucket; the minute before its end can exceed the limit by `amount -
/// burst`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// Units that may go at once.
    pub burst: u64,
    /// Units per minute in the long run.
    pub rate: u64,
    /// The time to refill an empty bucket, in microseconds.
    pub depth_micros: u64,
}

impl Pacing {
    /// For calls, one unit each: a burst of a hundredth of the limit leaves 99 % of it in the long run.
    /// Below 100 per minute the burst is one call, and the whole limit is available.
    pub fn requests(limit: u64) -> Self {
        let burst = 1 + limit / 100;
        let mut pacing = Self::new(limit, burst);
        // The cost of a call is rounded up to a microsecond, and `burst` calls must fit.
        pacing.depth_micros = burst.saturating_mul(pacing.cost_micros(1));
        pacing
    }

    /// For tokens, many per call: a burst of a tenth of the limit leaves 90 % of it in the long run.
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

    /// The units that may go at once when the bucket will be full in this many microseconds, rounded
    /// down.
    pub fn free(&self, full_in_micros: u64) -> u64 {
        let micros = self.depth_micros.saturating_sub(full_in_micros);
        let units = u128::from(micros) * u128::from(self.rate) / u128::from(MINUTE_MICROS);
        // The cost of calls is rounded up to whole microseconds, so their bucket is slightly deeper
        // than `burst`.
        u64::try_from(units).unwrap_or(u64::MAX).min(self.burst)
    }
}

#[cfg(test)]
mod tests;

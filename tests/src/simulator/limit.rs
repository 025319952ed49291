//! A strict limit on calls per minute.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

const MINUTE: Duration = Duration::from_mins(1);

/// Where a caller stands against its limit, as the rate-limit headers tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// Calls allowed per minute.
    pub(super) limit: u32,
    /// Calls left right now.
    pub(super) remaining: u32,
    /// Until the next call is let through, if none is left; else until the whole limit is.
    pub(super) reset: Duration,
}

/// The calls let through in the last minute. The window slides: no 60 seconds, wherever they begin,
/// hold more than the limit. Refused calls do not count against it.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<Instant>);

impl Window {
    /// Asks for one call at `now`. An error is a refusal, and its reset is the wait.
    pub(super) fn take(&mut self, limit: u32, now: Instant) -> Result<Standing, Standing> {
        while self
            .0
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) >= MINUTE)
        {
            self.0.pop_front();
        }
        let used = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        if used >= limit {
            // With a limit of zero there is no call to wait for.
            let reset = self.0.front().map_or(MINUTE, |oldest| left(*oldest, now));
            return Err(Standing {
                limit,
                remaining: 0,
                reset,
            });
        }
        self.0.push_back(now);
        let remaining = limit - used - 1;
        let waits_for = if remaining == 0 {
            self.0.front()
        } else {
            self.0.back()
        };
        let reset = waits_for.map_or(Duration::ZERO, |at| left(*at, now));
        Ok(Standing {
            limit,
            remaining,
            reset,
        })
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// How long a call at `at` still counts.
fn left(at: Instant, now: Instant) -> Duration {
    MINUTE.saturating_sub(now.saturating_duration_since(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_holds_more_than_the_limit() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::default();
        assert_eq!(window.take(2, at(0)).map(|s| s.remaining), Ok(1));
        assert_eq!(window.take(2, at(50)).map(|s| s.remaining), Ok(0));
        let refused = window.take(2, at(55)).unwrap_err();
        assert_eq!(refused.reset, Duration::from_secs(5));
        // The refusal did not push the wait out.
        assert!(window.take(2, at(60)).is_ok());
        assert_eq!(
            window.take(2, at(61)).unwrap_err().reset,
            Duration::from_secs(49)
        );
        assert!(window.take(0, at(300)).is_err());
    }
}

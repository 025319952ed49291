use proptest::prelude::*;

use super::*;

/// The algorithm of the type's documentation.
struct Bucket {
    pacing: Pacing,
    full_at: u64,
}

impl Bucket {
    fn new(pacing: Pacing) -> Self {
        Self { pacing, full_at: 0 }
    }

    /// When a call of `amount` units starts that is ready at `now`.
    fn take(&mut self, now: u64, amount: u64) -> u64 {
        let cost = self.pacing.cost_micros(amount);
        let room = (self.full_at + cost).saturating_sub(self.pacing.depth_micros);
        let at = now.max(room.min(self.full_at));
        self.full_at = self.full_at.max(at) + cost;
        at
    }
}

/// The most units in any half-open minute.
fn most(calls: &[(u64, u64)]) -> u64 {
    let (mut first, mut sum, mut most) = (0, 0, 0);
    for (at, amount) in calls {
        sum += amount;
        while calls[first].0 + MINUTE_MICROS <= *at {
            sum -= calls[first].1;
            first += 1;
        }
        most = most.max(sum);
    }
    most
}

/// Calls of one unit, as fast as allowed, over this many minutes.
fn greedy(limit: u64, minutes: u64) -> Vec<(u64, u64)> {
    let mut bucket = Bucket::new(Pacing::requests(limit));
    std::iter::from_fn(|| Some((bucket.take(0, 1), 1)))
        .take_while(|(at, _)| *at < minutes * MINUTE_MICROS)
        .collect()
}

fn in_minute(calls: &[(u64, u64)], minute: u64) -> u64 {
    let in_it = calls.iter().filter(|(at, _)| at / MINUTE_MICROS == minute);
    in_it.map(|(_, amount)| amount).sum()
}

#[test]
fn what_a_pacing_is() {
    for (limit, burst, rate, cost) in [
        (1, 1, 1, 60_000_000),
        (7, 1, 7, 8_571_429),
        (99, 1, 99, 606_061),
        (100, 2, 99, 606_061),
        (600, 7, 594, 101_011),
        (600_000, 6_001, 594_000, 102),
    ] {
        let pacing = Pacing::requests(limit);
        assert_eq!((pacing.burst, pacing.rate), (burst, rate), "{limit}");
        assert_eq!(pacing.cost_micros(1), cost, "{limit}");
        assert_eq!(pacing.depth_micros, burst * cost, "{limit}");
    }
    let tokens = Pacing::tokens(1_000_000);
    assert_eq!((tokens.burst, tokens.rate), (100_000, 900_001));
    assert_eq!(tokens.depth_micros, 6_666_659);
    assert_eq!(tokens.cost_micros(900_001), 60_000_000);
    assert_eq!(Pacing::tokens(1).burst, 1);
}

#[test]
fn a_burst_goes_at_once_and_then_one_at_a_time() {
    let calls = greedy(600, 1);
    let at_once = calls.iter().filter(|(at, _)| *at == 0).count();
    assert_eq!(at_once, 7);
    assert_eq!(calls[7].0, 101_011);
    assert_eq!(calls[8].0, 202_022);
}

#[test]
fn a_limit_is_used() {
    for limit in (1..=700).chain([1_000, 12_345, 60_000, 599_999, 600_000]) {
        let calls = greedy(limit, 3);
        assert!(most(&calls) <= limit, "{limit}");
        for minute in 0..3 {
            let went = in_minute(&calls, minute);
            let least = if limit < 100 { limit } else { limit * 98 / 100 };
            assert!(least <= went && went <= limit, "{limit} {minute} {went}");
        }
    }
}

#[test]
fn a_call_larger_than_the_burst_waits_for_a_full_bucket() {
    let pacing = Pacing::tokens(1_000);
    let mut bucket = Bucket::new(pacing);
    assert_eq!(bucket.take(0, 50), 0);
    let full = pacing.cost_micros(50);
    assert_eq!(bucket.take(0, 5_000), full);
    // The next call waits until all of it but a burst has flowed back.
    let next = bucket.take(full, 1);
    assert!(next > full + 5 * MINUTE_MICROS, "{next}");
}

#[test]
fn absurd_figures_are_still_numbers() {
    for limit in [0, 1, u64::MAX] {
        for pacing in [Pacing::requests(limit), Pacing::tokens(limit)] {
            assert!(pacing.rate > 0 && pacing.burst > 0, "{limit}");
            assert!(pacing.cost_micros(u64::MAX) > 0, "{limit}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn no_minute_holds_more_requests_than_the_limit(
        limit in 1..1_000_u64,
        pauses in prop::collection::vec(prop_oneof![4 => 0..100_u64, 1 => 0..30_000_000_u64], 1..3_000),
    ) {
        let mut bucket = Bucket::new(Pacing::requests(limit));
        let mut now = 0;
        let calls: Vec<_> = pauses
            .iter()
            .map(|pause| {
                now = bucket.take(now + pause, 1);
                (now, 1)
            })
            .collect();
        prop_assert!(most(&calls) <= limit);
    }

    #[test]
    fn no_minute_holds_more_tokens_than_the_limit_and_one_call_over_the_burst(
        limit in 1..10_000_000_u64,
        largest in 1..20_u64,
        calls in prop::collection::vec(
            (prop_oneof![4 => 0..100_u64, 1 => 0..30_000_000_u64], 1..=1_000_u64),
            1..500,
        ),
    ) {
        let pacing = Pacing::tokens(limit);
        let mut bucket = Bucket::new(pacing);
        let mut now = 0;
        let mut largest_amount = 0;
        let calls: Vec<_> = calls
            .iter()
            .map(|(pause, part)| {
                // Up to twice the burst.
                let amount = (pacing.burst * largest * part / 10_000).max(1);
                largest_amount = amount.max(largest_amount);
                now = bucket.take(now + pause, amount);
                (now, amount)
            })
            .collect();
        let beyond = largest_amount.saturating_sub(pacing.burst);
        prop_assert!(most(&calls) <= limit + beyond, "{} {}", most(&calls), limit);
    }
}

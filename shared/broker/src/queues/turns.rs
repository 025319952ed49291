//! Whose turn it is: which queues a read takes entries from.
//!
//! By weight, this is stride scheduling (Waldspurger and Weihl, 1995): each queue has a pass, which grows by a stride
//! with each entry, the smaller the greater its weight is; the queue with the smallest pass is next.

use std::collections::BTreeMap;

use longshore_policy::queues::{QueueOrder, QueueShare};
use longshore_protocol::id::QueueName;

/// The stride of a queue of weight 1: divisible by most weights.
const STRIDE: u64 = 5_040_000;

/// The entries that a read takes of each queue, in the order of the queues. What a queue does not have, the ones that
/// have more may give.
pub(super) type Quotas = Vec<(QueueName, usize)>;

/// The turns of the queues of one reader.
#[derive(Debug, Clone)]
pub(super) struct QueueTurns {
    order: QueueOrder,
    turns: Vec<Turn>,
}

#[derive(Debug, Clone)]
struct Turn {
    queue: QueueName,
    stride: u64,
    pass: u64,
}

impl QueueTurns {
    pub(super) fn new(shares: &[QueueShare], order: QueueOrder) -> Self {
        let turns = shares.iter().map(|share| Turn {
            queue: share.queue.clone(),
            stride: STRIDE / u64::from(share.weight.max(1)),
            pass: 0,
        });
        Self {
            order,
            turns: turns.collect(),
        }
    }

    /// How a read of `count` entries divides them between the queues that are not excluded.
    pub(super) fn quotas(&self, count: usize, excluded: &[QueueName]) -> Quotas {
        let open = self
            .turns
            .iter()
            .filter(|turn| !excluded.contains(&turn.queue));
        let mut open: Vec<(&Turn, u64, usize)> = open.map(|turn| (turn, turn.pass, 0)).collect();
        match self.order {
            QueueOrder::Strict => {
                if let Some((_, _, quota)) = open.first_mut() {
                    *quota = count;
                }
            }
            QueueOrder::Weighted => {
                for _ in 0..count {
                    if let Some((turn, pass, quota)) =
                        open.iter_mut().min_by_key(|(_, pass, _)| *pass)
                    {
                        *pass += turn.stride;
                        *quota += 1;
                    }
                }
            }
        }
        let quotas = open.into_iter();
        quotas
            .map(|(turn, _, quota)| (turn.queue.clone(), quota))
            .collect()
    }

    /// Counts what a read took. A queue that had less than its quota keeps no claim to what it did not use.
    pub(super) fn count(&mut self, quotas: &Quotas, taken: &BTreeMap<QueueName, usize>) {
        let taken = |queue: &QueueName| taken.get(queue).copied().unwrap_or_default();
        for turn in &mut self.turns {
            turn.pass += turn.stride * taken(&turn.queue) as u64;
        }
        let is_drained = |queue: &QueueName| {
            let mut quotas = quotas.iter();
            quotas.any(|(other, quota)| other == queue && taken(queue) < *quota)
        };
        let busy = self
            .turns
            .iter()
            .filter(|turn| taken(&turn.queue) > 0 && !is_drained(&turn.queue));
        let Some(behind) = busy.map(|turn| turn.pass).min() else {
            return;
        };
        for turn in self.turns.iter_mut().filter(|turn| is_drained(&turn.queue)) {
            turn.pass = turn.pass.max(behind);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(name: &str, weight: u32) -> QueueShare {
        QueueShare {
            queue: QueueName::from_stored(name),
            weight,
        }
    }

    /// Reads of `counts` entries from queues with these backlogs; returns what each queue gave.
    fn read(
        turns: &mut QueueTurns,
        counts: &[usize],
        backlogs: &mut [(&str, usize)],
    ) -> Vec<usize> {
        let mut all = vec![0; backlogs.len()];
        for count in counts {
            let quotas = turns.quotas(*count, &[]);
            let mut left = *count;
            let mut taken = BTreeMap::new();
            for pass in 0..2 {
                for (at, (name, backlog)) in backlogs.iter_mut().enumerate() {
                    let queue = QueueName::from_stored(name);
                    let quota = quotas.iter().find(|(other, _)| *other == queue).unwrap().1;
                    let some = if pass == 0 { quota } else { left }.min(*backlog).min(left);
                    *backlog -= some;
                    left -= some;
                    all[at] += some;
                    *taken.entry(queue).or_default() += some;
                }
            }
            turns.count(&quotas, &taken);
        }
        all
    }

    #[test]
    fn queues_share_by_weight_even_one_at_a_time() {
        let shares = [share("interactive", 6), share("bulk", 1)];
        let mut turns = QueueTurns::new(&shares, QueueOrder::Weighted);
        let mut backlogs = [("interactive", 10_000), ("bulk", 10_000)];
        assert_eq!(read(&mut turns, &[1; 700], &mut backlogs), [600, 100]);
        assert_eq!(read(&mut turns, &[16; 70], &mut backlogs), [960, 160]);
    }

    #[test]
    fn an_idle_queue_saves_up_no_turns() {
        let shares = [share("interactive", 6), share("bulk", 1)];
        let mut turns = QueueTurns::new(&shares, QueueOrder::Weighted);
        let mut only_bulk = [("interactive", 0), ("bulk", 10_000)];
        assert_eq!(read(&mut turns, &[4; 1_000], &mut only_bulk), [0, 4_000]);
        let mut both = [("interactive", 10_000), ("bulk", 6_000)];
        assert_eq!(read(&mut turns, &[7; 10], &mut both), [60, 10]);
    }

    #[test]
    fn strict_order_takes_from_a_later_queue_only_what_is_left() {
        let shares = [share("a", 1), share("b", 9), share("c", 1)];
        let mut turns = QueueTurns::new(&shares, QueueOrder::Strict);
        let mut backlogs = [("a", 5), ("b", 3), ("c", 100)];
        assert_eq!(read(&mut turns, &[4], &mut backlogs), [4, 0, 0]);
        assert_eq!(read(&mut turns, &[4], &mut backlogs), [1, 3, 0]);
        assert_eq!(read(&mut turns, &[4], &mut backlogs), [0, 0, 4]);
        let excluded = [QueueName::from_stored("a")];
        let names: Vec<_> = turns.quotas(4, &excluded);
        assert_eq!(
            names.first().map(|(queue, quota)| (queue.as_str(), *quota)),
            Some(("b", 4))
        );
    }

    proptest! {
        #[test]
        fn shares_are_exact_to_a_job_and_no_queue_starves(
            weights in prop::collection::vec(1_u32..=20, 2..5),
            counts in prop::collection::vec(1_usize..20, 50..200),
        ) {
            let names = ["a", "b", "c", "d"];
            let shares: Vec<_> = weights.iter().zip(names).map(|(weight, name)| share(name, *weight)).collect();
            let mut turns = QueueTurns::new(&shares, QueueOrder::Weighted);
            let mut backlogs: Vec<_> = names.iter().take(weights.len()).map(|name| (*name, 100_000)).collect();
            let given = read(&mut turns, &counts, &mut backlogs);
            let all: usize = counts.iter().sum();
            let sum = weights.iter().sum::<u32>() as usize;
            for (weight, given) in weights.iter().zip(given) {
                // Stride scheduling is at most one entry a queue away from the exact share.
                let (due, given) = (all * *weight as usize, given * sum);
                prop_assert!(given.abs_diff(due) <= weights.len() * sum, "{given} of {due}");
            }
        }
    }
}

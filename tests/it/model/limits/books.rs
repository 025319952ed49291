//! Expected usage and reservations, from the journal and the usage of attempts.

use std::collections::{BTreeMap, BTreeSet};

use longshore_broker::Consumed;
use longshore_protocol::id::AttemptId;
use serde_json::Value;

use crate::scripts::fixture::Fixture;

/// The reservation of a begun attempt.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    entry_id: String,
    amounts: Vec<Taken>,
}

#[derive(Debug, Clone)]
enum Taken {
    Window {
        meter: String,
        window: i64,
        amount: i64,
    },
    Slot(String),
}

impl Begun {
    /// The amount reserved of each window.
    pub(super) fn amount(&self) -> u64 {
        let amount = self.amounts.iter().find_map(|take| match take {
            Taken::Window { amount, .. } => u64::try_from(*amount).ok(),
            Taken::Slot(_) => None,
        });
        amount.unwrap_or(0)
    }
}

/// The begun attempts.
pub(super) type Journal = BTreeMap<String, Begun>;

/// Usage by meter: the current window, and what was used in it.
#[derive(Debug, Default)]
pub(super) struct Books {
    journal: Journal,
    used: BTreeMap<String, (i64, i64)>,
}

/// The journal in Redis.
pub(super) async fn journal(fixture: &Fixture) -> Journal {
    let mut journal = Journal::new();
    for (entry_id, value) in fixture.hash("inflight").await {
        let words: Vec<&str> = value.splitn(5, ' ').collect();
        let length: usize = words[3].parse().unwrap();
        let (amounts, event) = words[4].split_at(length);
        if words[0] == "-" {
            assert!(amounts.is_empty(), "{value}");
            continue;
        }
        assert!(event.starts_with("lost "), "{value}");
        let amounts = match amounts {
            "" => Vec::new(),
            amounts => serde_json::from_str::<Vec<Value>>(amounts)
                .unwrap()
                .iter()
                .map(taken)
                .collect(),
        };
        journal.insert(words[0].to_owned(), Begun { entry_id, amounts });
    }
    journal
}

fn taken(take: &Value) -> Taken {
    let meter = take[1].as_str().unwrap().to_owned();
    if take[0] == "w" {
        Taken::Window {
            meter,
            window: take[2].as_i64().unwrap(),
            amount: take[5].as_i64().unwrap(),
        }
    } else {
        Taken::Slot(meter)
    }
}

impl Books {
    /// Enters what a step changed in the journal. `own` is the attempt that the step ended, with its usage;
    /// the usage of others that ended with it is unknown.
    pub(super) fn enter(&mut self, now: Journal, own: Option<(AttemptId, Consumed)>) {
        for (attempt, begun) in &self.journal {
            if now.contains_key(attempt) {
                continue;
            }
            let known = match own {
                Some((own, Consumed::Known { nanos, .. })) if own.to_string() == *attempt => {
                    Some(i64::try_from(nanos).unwrap())
                }
                _ => None,
            };
            for take in &begun.amounts {
                if let Taken::Window {
                    meter,
                    window,
                    amount,
                } = take
                    && let Some((counted, used)) = self.used.get_mut(meter)
                    && counted == window
                {
                    *used += known.unwrap_or(*amount);
                }
            }
        }
        for (attempt, begun) in &now {
            if self.journal.contains_key(attempt) {
                continue;
            }
            for take in &begun.amounts {
                if let Taken::Window { meter, window, .. } = take {
                    let counted = self.used.entry(meter.clone()).or_insert((*window, 0));
                    assert!(*window >= counted.0, "{meter} went back to {window}");
                    if *window > counted.0 {
                        *counted = (*window, 0);
                    }
                }
            }
        }
        self.journal = now;
    }

    /// The amount reserved of a meter's current window.
    fn held(&self, of: &str) -> i64 {
        let counted = self.used.get(of).map(|(window, _)| *window);
        let amounts = self.journal.values().flat_map(|begun| &begun.amounts);
        amounts
            .filter_map(|take| match take {
                Taken::Window {
                    meter,
                    window,
                    amount,
                } if meter == of && Some(*window) == counted => Some(*amount),
                _ => None,
            })
            .sum()
    }

    /// The entry ids of the journal that have a slot.
    fn holders(&self, of: &str) -> BTreeSet<String> {
        let has_slot = |begun: &&Begun| {
            let of_this = |take: &Taken| matches!(take, Taken::Slot(meter) if meter == of);
            begun.amounts.iter().any(of_this)
        };
        let begun = self.journal.values().filter(has_slot);
        begun.map(|begun| begun.entry_id.clone()).collect()
    }

    /// Asserts that a window in Redis is as expected, and not overrun.
    pub(super) async fn check_window(&self, fixture: &Fixture, meter: &str, limit: i64) {
        let hash = fixture.hash(&format!("quota:{meter}")).await;
        let number = |name: &str| hash.get(name).map(|text| text.parse::<i64>().unwrap());
        let counted = self.used.get(meter).copied();
        assert_eq!(number("w"), counted.map(|(window, _)| window), "{meter}");
        let (used, held) = (number("used").unwrap_or(0), number("held").unwrap_or(0));
        assert_eq!(held, self.held(meter), "what is held of {meter}");
        assert_eq!(
            used,
            counted.map_or(0, |(_, used)| used),
            "what was used of {meter}"
        );
        assert!(
            used + held <= limit,
            "{meter}: {used} and {held} of {limit}"
        );
    }

    /// Asserts that the holders of slots are those in the journal, and within the limit.
    pub(super) async fn check_slots(&self, fixture: &Fixture, meter: &str, limit: u32) {
        let holders = fixture.hash_keys(&format!("slots:{meter}")).await;
        assert_eq!(holders, self.holders(meter), "{meter}");
        assert!(holders.len() <= limit as usize, "{meter}: {holders:?}");
    }
}

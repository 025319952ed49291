//! The ledger's attempts compared with the provider's invoice, to the last digit.

use std::collections::{BTreeMap, BTreeSet};

use longshore_ledger::AttemptCost;
use longshore_protocol::{money::Usd, state::AttemptOutcome};
use longshore_simulator::Bill;

use super::Stack;

/// The ledger's attempts and the provider's invoice.
#[derive(Debug)]
pub struct Books {
    /// What we recorded.
    pub ledger: Vec<AttemptCost>,
    /// What the provider billed.
    pub invoice: Vec<Bill>,
}

impl Stack {
    /// Both sides, once every event is recorded.
    pub async fn books(&self) -> anyhow::Result<Books> {
        self.recorded().await?;
        Ok(Books {
            ledger: self.ledger.attempt_costs().await?,
            invoice: self.simulator.invoice(),
        })
    }
}

impl Books {
    /// Checks that every call on the invoice is in the ledger with the same cost, or listed there with
    /// a cost that only the provider knows; and that nothing else claims to have cost anything.
    ///
    /// # Panics
    ///
    /// When the books do not balance; the text names the first attempts that differ.
    #[expect(clippy::panic, reason = "a check of tests")]
    pub fn balance(&self) {
        let mut billed: BTreeMap<&str, Usd> = BTreeMap::new();
        for bill in &self.invoice {
            let cost: Usd = bill
                .cost_usd
                .parse()
                .unwrap_or_else(|error| panic!("{bill:?}: {error}"));
            let sum = billed.entry(&bill.attempt_id).or_default();
            *sum = *sum + cost;
        }
        let mut wrong = Vec::new();
        let mut known = BTreeSet::new();
        let (mut ours, mut theirs) = (Usd::ZERO, Usd::ZERO);
        for row in &self.ledger {
            let id = row.attempt_id.to_string();
            let bill = billed.get(id.as_str()).copied();
            match (row.cost_usd, bill) {
                (Some(cost), bill) if cost != bill.unwrap_or(Usd::ZERO) => {
                    wrong.push(format!("{id}: ledger {cost}, invoice {bill:?}"));
                }
                (Some(cost), bill) => {
                    ours = ours + cost;
                    theirs = theirs + bill.unwrap_or(Usd::ZERO);
                }
                // Of unknown cost: lost, dropped or interrupted, and at most what was reserved.
                (None, Some(bill)) if bill > row.reserved_usd => {
                    wrong.push(format!(
                        "{id}: invoice {bill}, but only {} reserved",
                        row.reserved_usd
                    ));
                }
                (None, _) => {}
            }
            known.insert(id);
        }
        for bill in &self.invoice {
            if !known.contains(&bill.attempt_id) {
                wrong.push(format!(
                    "{}: on the invoice, not in the ledger",
                    bill.attempt_id
                ));
            }
        }
        wrong.truncate(5);
        assert!(wrong.is_empty(), "the books do not balance: {wrong:#?}");
        assert!(
            ours == theirs,
            "the sums differ: ledger {ours}, invoice {theirs}"
        );
    }

    /// Attempts of an outcome.
    pub fn count(&self, outcome: AttemptOutcome) -> usize {
        self.ledger
            .iter()
            .filter(|row| row.outcome == outcome)
            .count()
    }
}

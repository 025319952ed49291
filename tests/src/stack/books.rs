//! The ledger's attempts compared with the provider's invoice, to the last digit.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use longshore_ledger::AttemptCost;
use longshore_protocol::{
    id::{AttemptId, JobId},
    money::Usd,
    state::AttemptOutcome,
};
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

/// What the comparison of both sides found.
#[derive(Debug, Default)]
pub struct Comparison {
    /// The known cost of all attempts.
    pub ledger: Usd,
    /// What the provider billed for these attempts.
    pub invoice: Usd,
    /// Attempts that the ledger lists with a cost that only the provider knows.
    pub unknown: Vec<UnknownCost>,
    /// Where the sides contradict each other.
    pub differences: Vec<Difference>,
}

/// An attempt whose cost only the provider knows: lost, dropped or interrupted.
#[derive(Debug)]
pub struct UnknownCost {
    /// The attempt.
    pub attempt: AttemptId,
    /// Its job.
    pub job: JobId,
    /// What the provider billed, if it did.
    pub billed: Option<Usd>,
    /// The upper bound that was reserved.
    pub reserved: Usd,
}

/// A contradiction about one attempt.
#[derive(Debug)]
pub struct Difference {
    /// The attempt, as on the invoice.
    pub attempt: String,
    /// Its job, if the ledger knows the attempt.
    pub job: Option<JobId>,
    /// What differs.
    pub text: String,
}

impl Books {
    /// Compares every call on the invoice with the ledger: it is there with the same cost, or with a cost that only
    /// the provider knows, and nothing else claims to have cost anything.
    ///
    /// # Errors
    /// If a bill has no valid amount.
    pub fn compare(&self) -> anyhow::Result<Comparison> {
        let mut billed: BTreeMap<&str, Usd> = BTreeMap::new();
        for bill in &self.invoice {
            let cost: Usd = bill.cost_usd.parse().with_context(|| format!("{bill:?}"))?;
            let sum = billed.entry(&bill.attempt_id).or_default();
            *sum = *sum + cost;
        }
        let mut found = Comparison::default();
        let mut known = BTreeSet::new();
        for row in &self.ledger {
            let id = row.attempt_id.to_string();
            let bill = billed.get(id.as_str()).copied();
            found.compare_row(row, bill);
            known.insert(id);
        }
        for (id, bill) in billed.iter().filter(|(id, _)| !known.contains(**id)) {
            found.differences.push(Difference {
                attempt: (*id).to_owned(),
                job: None,
                text: format!("{bill} on the invoice, not in the ledger"),
            });
        }
        Ok(found)
    }

    /// Checks that [`Books::compare`] finds no difference.
    ///
    /// # Panics
    ///
    /// When the books do not balance; the text names the first attempts that differ.
    #[expect(clippy::panic, reason = "a check of tests")]
    pub fn balance(&self) {
        let mut found = self.compare().unwrap_or_else(|error| panic!("{error:#}"));
        let wrong = &mut found.differences;
        wrong.truncate(5);
        assert!(wrong.is_empty(), "the books do not balance: {wrong:#?}");
        assert!(
            found.ledger == found.invoice,
            "the sums differ: ledger {}, invoice {}",
            found.ledger,
            found.invoice
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

impl Comparison {
    fn compare_row(&mut self, row: &AttemptCost, bill: Option<Usd>) {
        let billed = bill.unwrap_or(Usd::ZERO);
        let difference = match row.cost_usd {
            Some(cost) if cost != billed => {
                Some(format!("{cost} in the ledger, {billed} on the invoice"))
            }
            Some(cost) => {
                self.ledger = self.ledger + cost;
                self.invoice = self.invoice + billed;
                None
            }
            None => {
                self.unknown.push(UnknownCost {
                    attempt: row.attempt_id,
                    job: row.job_id.clone(),
                    billed: bill,
                    reserved: row.reserved_usd,
                });
                (billed > row.reserved_usd).then(|| {
                    format!(
                        "{billed} on the invoice, but only {} reserved",
                        row.reserved_usd
                    )
                })
            }
        };
        self.differences.extend(difference.map(|text| Difference {
            attempt: row.attempt_id.to_string(),
            job: Some(row.job_id.clone()),
            text,
        }));
    }
}

//! The provider's bills.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{
    dialect::Dialect,
    prices::{self, Price},
    usage::Usage,
};

/// One charge. A call that is sent twice is charged twice, even under one attempt id: real providers
/// do not promise to notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// The call's `Idempotency-Key`, or nothing.
    pub attempt_id: String,
    /// The provider that was called: the name in the path, or the dialect's.
    pub provider: String,
    /// The dialect the call came in by.
    pub dialect: Dialect,
    /// The model that answered.
    pub model: String,
    /// Input tokens, cached ones included.
    pub input_tokens: u32,
    /// The input tokens that were read from a cache.
    pub cached_tokens: u32,
    /// Output tokens, reasoning included.
    pub output_tokens: u32,
    /// The output tokens that were reasoning.
    pub reasoning_tokens: u32,
    /// US dollars: an exact decimal with no trailing zeros.
    pub cost_usd: String,
    /// Milliseconds since 1970 at which generation began.
    pub billed_at_ms: u64,
    /// Whether the answer was handed to the connection. False for a call that is still being
    /// answered, and for one whose client left or was cut off.
    pub answered: bool,
}

/// A bill in memory; a run may have millions.
#[derive(Debug, Clone)]
struct Entry {
    attempt_id: Box<str>,
    provider: Arc<str>,
    price: &'static Price,
    usage: Usage,
    billed_at_ms: u64,
    answered: bool,
}

impl Entry {
    fn bill(&self) -> Bill {
        Bill {
            attempt_id: self.attempt_id.clone().into_string(),
            provider: self.provider.to_string(),
            dialect: self.price.dialect,
            model: self.price.model.to_owned(),
            input_tokens: self.usage.input,
            cached_tokens: self.usage.cached,
            output_tokens: self.usage.output,
            reasoning_tokens: self.usage.reasoning,
            cost_usd: prices::dollars(self.price.cost(self.usage).into()),
            billed_at_ms: self.billed_at_ms,
            answered: self.answered,
        }
    }
}

/// The index of a bill, to mark it as answered later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BillKey {
    epoch: u64,
    index: usize,
}

/// A part of the invoice and the sum of the whole.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    bills: Vec<Bill>,
    /// The sum of all bills, including those of other pages.
    total_usd: String,
    count: usize,
    /// Where the next page begins, if there is one.
    next: Option<usize>,
}

#[derive(Debug, Default)]
struct Ledger {
    /// Rises with every reset, so that an answer given after one does not mark a newer bill.
    epoch: u64,
    entries: Vec<Entry>,
    total_pico: u128,
}

/// All bills since the start or the last reset.
#[derive(Debug, Default)]
pub(super) struct Invoice(Mutex<Ledger>);

impl Invoice {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges for one answer.
    pub(super) fn charge(
        &self,
        attempt_id: &str,
        provider: &Arc<str>,
        price: &'static Price,
        usage: Usage,
    ) -> BillKey {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let entry = Entry {
            attempt_id: attempt_id.into(),
            provider: Arc::clone(provider),
            price,
            usage,
            billed_at_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            answered: false,
        };
        let mut ledger = self.ledger();
        ledger.total_pico += u128::from(price.cost(usage));
        ledger.entries.push(entry);
        BillKey {
            epoch: ledger.epoch,
            index: ledger.entries.len() - 1,
        }
    }

    /// Marks bills as answered and empties the list.
    pub(super) fn answered(&self, keys: &mut Vec<BillKey>) {
        if keys.is_empty() {
            return;
        }
        let mut ledger = self.ledger();
        let epoch = ledger.epoch;
        for key in keys.drain(..).filter(|key| key.epoch == epoch) {
            if let Some(entry) = ledger.entries.get_mut(key.index) {
                entry.answered = true;
            }
        }
    }

    /// At most `limit` bills starting at index `since`.
    pub(super) fn page(&self, since: usize, limit: usize) -> Page {
        let (entries, count, total_pico) = {
            let ledger = self.ledger();
            let entries: Vec<Entry> = ledger
                .entries
                .iter()
                .skip(since)
                .take(limit)
                .cloned()
                .collect();
            (entries, ledger.entries.len(), ledger.total_pico)
        };
        let end = since.saturating_add(entries.len());
        Page {
            bills: entries.iter().map(Entry::bill).collect(),
            total_usd: prices::dollars(total_pico),
            count,
            next: (end < count).then_some(end),
        }
    }

    /// Every bill, in the order of charging.
    pub(super) fn bills(&self) -> Vec<Bill> {
        self.page(0, usize::MAX).bills
    }

    pub(super) fn total_usd(&self) -> String {
        prices::dollars(self.ledger().total_pico)
    }

    pub(super) fn clear(&self) {
        let mut ledger = self.ledger();
        *ledger = Ledger {
            epoch: ledger.epoch + 1,
            ..Ledger::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_add_up_and_a_reset_forgets() {
        let invoice = Invoice::default();
        let price = prices::find(Dialect::Openai, "gpt-4o-mini").unwrap();
        let usage = Usage {
            input: 1,
            output: 1,
            ..Usage::default()
        };
        let provider = Arc::from("openai");
        let keys: Vec<_> = (0..5)
            .map(|n| invoice.charge(&n.to_string(), &provider, price, usage))
            .collect();
        assert_eq!(invoice.total_usd(), "0.00000375");

        invoice.answered(&mut keys.iter().copied().skip(4).collect());
        let page = invoice.page(3, 1);
        assert_eq!((page.bills.len(), page.count, page.next), (1, 5, Some(4)));
        let page = invoice.page(4, 10);
        assert_eq!((page.bills.len(), page.next), (1, None));
        assert!(
            page.bills
                .iter()
                .all(|bill| bill.answered && bill.attempt_id == "4")
        );
        assert!(invoice.page(9, 1).bills.is_empty());

        invoice.clear();
        invoice.charge("new", &provider, price, usage);
        invoice.answered(&mut keys.clone());
        assert!(!invoice.bills()[0].answered);
    }
}

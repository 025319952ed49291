//! The prices of a model over time.

use chrono::NaiveDate;

use super::Prices;

/// Prices by day (UTC): a call is billed at the prices of its day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceBook {
    /// Until the first change.
    first: Prices,
    /// Sorted by day.
    changes: Vec<(NaiveDate, Prices)>,
}

impl PriceBook {
    /// `first` applies until the earliest of `changes`.
    pub fn new(first: Prices, mut changes: Vec<(NaiveDate, Prices)>) -> Self {
        changes.sort_by_key(|(from, _)| *from);
        Self { first, changes }
    }

    /// All prices with the days from which they apply, in order; the first has no day.
    pub fn by_day(&self) -> impl Iterator<Item = (Option<NaiveDate>, &Prices)> {
        let changes = self.changes.iter();
        let changes = changes.map(|(from, prices)| (Some(*from), prices));
        std::iter::once((None, &self.first)).chain(changes)
    }

    /// The prices of a day.
    pub fn at(&self, day: NaiveDate) -> &Prices {
        self.changes
            .iter()
            .rfind(|(from, _)| *from <= day)
            .map_or(&self.first, |(_, prices)| prices)
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;
    use crate::catalog::Rates;

    #[test]
    fn each_day_has_its_prices() {
        let at = |dollars: u32| {
            Prices::from(Rates {
                input: Decimal::from(dollars),
                ..Rates::FREE
            })
        };
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let book = PriceBook::new(
            at(3),
            vec![(day("2027-02-01"), at(1)), (day("2026-12-01"), at(2))],
        );
        for (text, dollars) in [
            ("1970-01-01", 3),
            ("2026-11-30", 3),
            ("2026-12-01", 2),
            ("2027-01-31", 2),
            ("2027-02-01", 1),
            ("2100-01-01", 1),
        ] {
            assert_eq!(*book.at(day(text)), at(dollars), "{text}");
        }
    }
}

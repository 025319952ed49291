//! What a model costs over time.

use chrono::NaiveDate;

use super::Prices;

/// Prices by the day, in UTC: a call costs what its day says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceBook {
    /// Up to the first change.
    first: Prices,
    /// From these days on, the earliest first.
    changes: Vec<(NaiveDate, Prices)>,
}

impl PriceBook {
    /// `first`, until the earliest of `changes`.
    pub fn new(first: Prices, mut changes: Vec<(NaiveDate, Prices)>) -> Self {
        changes.sort_by_key(|(from, _)| *from);
        Self { first, changes }
    }

    /// All prices: the first, and the others with the days from which they hold, in order.
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

//! Money: US dollars as exact decimals, never floating point.

use std::{fmt, iter::Sum, ops::Add, str::FromStr};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// An amount of US dollars, exact to the last digit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usd(pub Decimal);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// `tokens` at a price in dollars per million tokens.
    pub fn for_tokens(tokens: u64, per_million: Decimal) -> Self {
        let mut amount = Decimal::from(tokens) * per_million;
        // A million is a shift of the point; a price too long for that is divided.
        if amount.set_scale(amount.scale() + 6).is_err() {
            amount /= Decimal::from(1_000_000);
        }
        Self(amount.normalize())
    }
}

impl Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self((self.0 + other.0).normalize())
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl FromStr for Usd {
    type Err = rust_decimal::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Decimal::from_str_exact(text).map(|amount| Self(amount.normalize()))
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_of_the_cheapest_model_is_not_rounded_away() {
        let price = Decimal::from_str("0.006").unwrap();
        assert_eq!(Usd::for_tokens(1, price).to_string(), "0.000000006");
    }

    #[test]
    fn sums_are_exact() {
        let tenth: Usd = "0.1".parse().unwrap();
        assert_eq!([tenth; 10].into_iter().sum::<Usd>().to_string(), "1");
    }
}

//! Money: US dollars as exact decimals, never floating point.

use std::{fmt, iter::Sum, ops::Add, str::FromStr};

use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use serde::{Deserialize, Deserializer, Serialize};

/// An amount of US dollars, exact to the last digit, without trailing zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Usd(pub Decimal);

impl Usd {
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// The price of `tokens` at a price in dollars per million tokens.
    pub fn for_tokens(tokens: u64, per_million: Decimal) -> Self {
        let mut amount = Decimal::from(tokens) * per_million;
        // A shift of the decimal point divides by a million; only a price with too many digits needs a
        // division.
        if amount.set_scale(amount.scale() + 6).is_err() {
            amount /= Decimal::from(1_000_000);
        }
        Self(amount.normalize())
    }

    /// An amount given in billionths of a dollar.
    pub fn from_nanos(nanos: u64) -> Self {
        Self(Decimal::from_i128_with_scale(nanos.into(), 9).normalize())
    }

    /// The amount in billionths of a dollar, rounded up so that a reservation is never too small.
    /// Saturates at 0 and `u64::MAX`.
    pub fn nanos_up(self) -> u64 {
        let nanos = self.0.checked_mul(Decimal::from(1_000_000_000));
        match nanos.map(|nanos| nanos.ceil()) {
            Some(nanos) if nanos <= Decimal::ZERO => 0,
            Some(nanos) => nanos.to_u64().unwrap_or(u64::MAX),
            None if self.0.is_sign_negative() => 0,
            None => u64::MAX,
        }
    }
}

impl<'de> Deserialize<'de> for Usd {
    /// Scripts add amounts digit by digit, so theirs may have trailing zeros.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Decimal as Deserialize>::deserialize(deserializer).map(|amount| Self(amount.normalize()))
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

    #[test]
    fn an_amount_has_one_form_whoever_wrote_it() {
        let amount: Usd = serde_json::from_str(r#""0.0101000""#).unwrap();
        assert_eq!(serde_json::to_string(&amount).unwrap(), r#""0.0101""#);
        assert_eq!(amount.to_string(), "0.0101");
    }

    #[test]
    fn nanos_are_rounded_up_and_come_back() {
        for (amount, nanos) in [
            ("0", 0),
            ("0.000000001", 1),
            ("0.0000000010", 1),
            ("0.0000000011", 2),
            ("0.0000000000000000000000000001", 1),
            ("1.5", 1_500_000_000),
            ("9000000", 9_000_000_000_000_000),
            ("18446744073.709551615", u64::MAX),
            ("18446744074", u64::MAX),
            ("79228162514264337593543950335", u64::MAX),
            ("-1", 0),
            ("-79228162514264337593543950335", 0),
        ] {
            assert_eq!(amount.parse::<Usd>().unwrap().nanos_up(), nanos, "{amount}");
        }
        assert_eq!(Usd::from_nanos(1_500_000_000).to_string(), "1.5");
        for nanos in [0, 1, 999_999_999, u64::MAX] {
            assert_eq!(Usd::from_nanos(nanos).nanos_up(), nanos);
        }
    }
}

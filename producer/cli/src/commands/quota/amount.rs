//! Requests and dollars, as limits count them.

use std::fmt;

use longshore_client::Usd;
use longshore_shared::limits::Unit;
use rust_decimal::RoundingStrategy;
use serde::{Serialize, Serializer};

use crate::commands::submit::money::exact;

/// So much of what a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    /// Requests, tokens, calls.
    Count(u64),
    /// Dollars.
    Dollars(Usd),
}

impl Amount {
    pub(crate) fn new(unit: Unit, units: u64) -> Self {
        match unit {
            Unit::Requests => Self::Count(units),
            Unit::NanoUsd => Self::Dollars(Usd::from_nanos(units)),
        }
    }
}

impl fmt::Display for Amount {
    /// As seed 000 has them: `450`, `$100`, `$2.50`; two digits more of what would look like nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usd(dollars) = match self {
            Self::Count(number) => return number.fmt(f),
            Self::Dollars(dollars) => *dollars,
        };
        let cents = dollars.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
        if dollars.is_integer() {
            write!(f, "${}", dollars.normalize())
        } else if cents.is_zero() {
            write!(f, "${}", dollars.round_sf(2).unwrap_or(dollars).normalize())
        } else {
            write!(f, "${cents:.2}")
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(number) => number.serialize(serializer),
            Self::Dollars(dollars) => exact(dollars, serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_have_cents_where_they_are_not_whole() {
        for (amount, text) in [
            ("0", "$0"),
            ("100", "$100"),
            ("2.5", "$2.50"),
            ("97.504", "$97.50"),
            ("0.005", "$0.01"),
            ("0.00421", "$0.0042"),
        ] {
            assert_eq!(Amount::Dollars(amount.parse().unwrap()).to_string(), text);
        }
        assert_eq!(
            Amount::new(Unit::NanoUsd, 2_500_000_000).to_string(),
            "$2.50"
        );
        assert_eq!(Amount::new(Unit::Requests, 1500).to_string(), "1500");
    }

    #[test]
    fn programs_see_every_digit() {
        let amounts = [Amount::Count(3), Amount::new(Unit::NanoUsd, 1)];
        assert_eq!(serde_json::to_string(&amounts).unwrap(), "[3,0.000000001]");
    }
}

//! Amounts of money, and amounts that limits count.

use std::fmt;

use longshore_client::Usd;
use longshore_policy::limits::Unit;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Formats an amount with four decimals, or with two significant digits if it would round to zero: `$0.0045`, `$0.000012`.
pub(crate) fn dollars(Usd(amount): Usd) -> String {
    let rounded = amount.round_dp_with_strategy(4, RoundingStrategy::MidpointAwayFromZero);
    if rounded.is_zero() && !amount.is_zero() {
        format!("${}", amount.round_sf(2).unwrap_or(amount).normalize())
    } else {
        format!("${rounded:.4}")
    }
}

/// Formats dollars with two decimals, and less than a dollar with as many as it needs, at most four or two significant
/// digits: `$3.45`, `$0.0054`, `$0.0000004`.
pub(crate) fn cents(Usd(amount): Usd) -> String {
    let size = amount.abs();
    let shown = if size >= Decimal::ONE || size.is_zero() {
        amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
    } else if size >= Decimal::new(1, 3) {
        amount.round_dp_with_strategy(4, RoundingStrategy::MidpointAwayFromZero)
    } else {
        amount.round_sf(2).unwrap_or(amount)
    };
    let shown = shown.normalize();
    format!("${shown:.0$}", shown.scale().max(2) as usize)
}

/// Serializes an amount as a JSON number, digit for digit: never as a floating-point number.
pub(crate) fn exact<S: Serializer>(Usd(amount): &Usd, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(amount.normalize().to_string())
        .map_err(serde::ser::Error::custom)?
        .serialize(serializer)
}

/// An amount that a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    /// Requests, tokens or calls.
    Count(u64),
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
    /// Counts as `450`, dollars as `$100` or `$2.50`. Amounts that round to zero cents show two significant digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(number) => number.fmt(f),
            Self::Dollars(Usd(whole)) if whole.is_integer() => write!(f, "${}", whole.normalize()),
            Self::Dollars(dollars) => f.write_str(&cents(*dollars)),
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

    #[derive(Serialize)]
    struct Bill {
        #[serde(serialize_with = "exact")]
        cost: Usd,
    }

    #[test]
    fn dollars_have_four_decimals_unless_all_are_zero() {
        for (amount, text) in [
            ("0", "$0.0000"),
            ("0.0045", "$0.0045"),
            ("0.00455", "$0.0046"),
            ("12.5", "$12.5000"),
            ("0.00005", "$0.0001"),
            ("0.000012", "$0.000012"),
            ("0.0000123456", "$0.000012"),
            ("0.000000006", "$0.000000006"),
        ] {
            assert_eq!(dollars(amount.parse().unwrap()), text);
        }
    }

    #[test]
    fn json_amounts_are_exact() {
        let bill = |amount: &str| {
            serde_json::to_string(&Bill {
                cost: amount.parse().unwrap(),
            })
            .unwrap()
        };
        assert_eq!(bill("0.0000"), r#"{"cost":0}"#);
        assert_eq!(
            bill("0.1234567890123456789012"),
            r#"{"cost":0.1234567890123456789012}"#
        );
        let amounts = [Amount::Count(3), Amount::new(Unit::NanoUsd, 1)];
        assert_eq!(serde_json::to_string(&amounts).unwrap(), "[3,0.000000001]");
    }

    #[test]
    fn dollars_of_a_limit_show_cents_unless_whole() {
        for (amount, text) in [
            ("0", "$0"),
            ("100", "$100"),
            ("2.5", "$2.50"),
            ("97.504", "$97.50"),
            ("0.005", "$0.005"),
            ("0.126", "$0.126"),
            ("0.999999", "$1.00"),
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
}

//! Costs, for people and for programs.

use longshore_client::Usd;
use rust_decimal::RoundingStrategy;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// An amount for people: four digits, or more where they would all be zero though something was spent.
pub(in crate::commands) fn dollars(Usd(amount): Usd) -> String {
    let rounded = amount.round_dp_with_strategy(4, RoundingStrategy::MidpointAwayFromZero);
    if rounded.is_zero() && !amount.is_zero() {
        format!("${}", amount.round_sf(2).unwrap_or(amount).normalize())
    } else {
        format!("${rounded:.4}")
    }
}

/// An amount as a JSON number, digit for digit: never by way of a floating-point number.
pub(in crate::commands) fn exact<S: Serializer>(
    Usd(amount): &Usd,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    RawValue::from_string(amount.normalize().to_string())
        .map_err(serde::ser::Error::custom)?
        .serialize(serializer)
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
    fn people_see_four_digits_unless_all_are_zero() {
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
    fn programs_see_every_digit() {
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
    }
}

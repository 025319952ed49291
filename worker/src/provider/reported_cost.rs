//! Reads the cost that a provider reports, exact to the last digit.

use std::collections::HashMap;

use longshore_protocol::money::Usd;
use rust_decimal::Decimal;
use serde_json::value::RawValue;

/// The amount at a path in a JSON body, in units of 10^-`decimals` dollars. `None` if negative.
///
/// It is read from the number's own digits: a [`serde_json::Value`] would hold a binary fraction.
pub(super) fn dollars_at(body: &[u8], path: &[&str], decimals: u32) -> Option<Usd> {
    let mut at: &RawValue = serde_json::from_slice(body).ok()?;
    for name in path {
        let mut object: HashMap<String, &RawValue> = serde_json::from_str(at.get()).ok()?;
        at = object.remove(*name)?;
    }
    let amount = Decimal::from_str_exact(at.get())
        .or_else(|_| Decimal::from_scientific(at.get()))
        .ok()?;
    let amount = amount.checked_mul(Decimal::try_new(1, decimals).ok()?)?;
    (!amount.is_sign_negative() || amount.is_zero()).then(|| Usd(amount.normalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(number: &str, decimals: u32) -> Option<String> {
        let body = format!(r#"{{"id": "x", "usage": {{"cost": {number}, "is": null}}}}"#);
        dollars_at(body.as_bytes(), &["usage", "cost"], decimals).map(|usd| usd.to_string())
    }

    #[test]
    fn amounts_keep_every_digit() {
        let cases = [
            ("0.00014", 0, Some("0.00014")),
            ("0.060000000000000005", 0, Some("0.060000000000000005")),
            ("1.4e-4", 0, Some("0.00014")),
            ("2E0", 0, Some("2")),
            ("0", 0, Some("0")),
            ("37756000", 10, Some("0.0037756")),
            ("1", 10, Some("0.0000000001")),
            ("-1", 0, None),
            ("\"1\"", 0, None),
            ("null", 0, None),
            ("1e99", 0, None),
        ];
        for (number, decimals, expected) in cases {
            assert_eq!(cost(number, decimals).as_deref(), expected, "{number}");
        }
        assert_eq!(dollars_at(b"{}", &["usage", "cost"], 0), None);
        assert_eq!(dollars_at(b"[1]", &["usage"], 0), None);
    }
}

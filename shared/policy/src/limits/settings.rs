//! Forms of limit settings: calendars and amounts of money.

use chrono::NaiveTime;
use chrono_tz::Tz;
use longshore_protocol::money::Usd;
use longshore_settings::{Form, Reader, Text};
use rust_decimal::Decimal;

use super::Calendar;

/// Reads when days and months begin; `at` is the path in the file.
pub fn calendar(
    r: &mut Reader<'_>,
    at: &str,
    time_zone: Option<&Text>,
    reset_at: Option<&Text>,
) -> Calendar {
    let default = Calendar::default();
    let zone = Form::new("a time zone, such as UTC or Europe/Berlin", |text| {
        text.parse::<Tz>().ok()
    });
    let time = Form::new(
        "a time of day in quotes, from \"00:00\" to \"23:59\"",
        |text| {
            let time = NaiveTime::parse_from_str(text, "%H:%M").ok()?;
            (text.len() == 5).then_some(time)
        },
    );
    Calendar {
        time_zone: time_zone
            .and_then(|text| r.value(&format!("{at}.time_zone"), text, &zone))
            .unwrap_or(default.time_zone),
        reset_at: reset_at
            .and_then(|text| r.value(&format!("{at}.reset_at"), text, &time))
            .unwrap_or(default.reset_at),
    }
}

/// The highest dollar limit: in billionths, Lua's doubles are still exact.
const MOST_DOLLARS: u32 = 9_000_000;

/// A dollar limit.
pub fn dollars() -> Form<Usd> {
    let expected = format!(
        "US dollars in quotes, above 0 and at most {MOST_DOLLARS}, with at most 9 decimals, such as \"100\""
    );
    Form::new(expected, |text| {
        let amount: Usd = text.parse().ok()?;
        let allowed =
            amount > Usd::ZERO && amount.0 <= Decimal::from(MOST_DOLLARS) && amount.0.scale() <= 9;
        allowed.then_some(amount)
    })
}

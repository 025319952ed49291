//! What providers' accounts allow.

use longshore_protocol::platform::PlatformName;
use longshore_settings::{Form, Reader, Text, form::whole, part};

use super::{
    AccountLimits,
    settings::{calendar, dollars},
};
use crate::catalog::ProviderEntry;

part! {
    /// A provider's `limits`.
    pub struct RawAccountLimits {
        requests_per_minute: Option<Text>,
        tokens_per_minute: Option<Text>,
        requests_per_day: Option<Text>,
        usd_per_month: Option<Text>,
        max_concurrent: Option<Text>,
        time_zone: Option<Text>,
        reset_at: Option<Text>,
    }
}

impl RawAccountLimits {
    /// Its first value, for its line; `None` if it has none, or could not be read.
    fn first_text(&self) -> Option<&Text> {
        [
            &self.requests_per_minute,
            &self.tokens_per_minute,
            &self.requests_per_day,
            &self.usd_per_month,
            &self.max_concurrent,
            &self.time_zone,
            &self.reset_at,
        ]
        .into_iter()
        .filter_map(Option::as_ref)
        .filter(|text| !text.is_unreadable())
        .min_by_key(|text| text.line())
    }
}

/// Understands a provider's `limits`; `at` is where they stand.
pub fn account_limits(r: &mut Reader<'_>, at: &str, raw: &RawAccountLimits) -> AccountLimits {
    // Up to 600,000 calls a minute, rounding each to a microsecond keeps 98 % of the limit.
    let calls = whole(1..=600_000);
    let many = whole(1..=1_000_000_000);
    let places = whole(1..=100_000);
    let (rpm, tpm) = (&raw.requests_per_minute, &raw.tokens_per_minute);
    AccountLimits {
        requests_per_minute: value(r, at, "requests_per_minute", rpm.as_ref(), &calls),
        tokens_per_minute: value(r, at, "tokens_per_minute", tpm.as_ref(), &many),
        requests_per_day: value(
            r,
            at,
            "requests_per_day",
            raw.requests_per_day.as_ref(),
            &many,
        ),
        usd_per_month: value(
            r,
            at,
            "usd_per_month",
            raw.usd_per_month.as_ref(),
            &dollars(),
        ),
        max_concurrent: value(
            r,
            at,
            "max_concurrent",
            raw.max_concurrent.as_ref(),
            &places,
        ),
        calendar: calendar(r, at, raw.time_zone.as_ref(), raw.reset_at.as_ref()),
    }
}

fn value<T>(
    r: &mut Reader<'_>,
    at: &str,
    name: &str,
    written: Option<&Text>,
    form: &Form<T>,
) -> Option<T> {
    r.value(&format!("{at}.{name}"), written?, form)
}

/// Whether the limits of these providers are what their author wrote.
fn are_valid(r: &Reader<'_>, providers: [&PlatformName; 2]) -> bool {
    let sections = providers.map(|name| format!("providers.{name}.limits"));
    r.is_sound(&sections.each_ref().map(String::as_str))
}

/// Gives all providers of an account the limits that stand at one of them; `written` finds what stands
/// at a provider. Limits that stand at several must be equal.
pub fn share_accounts<'a>(
    r: &mut Reader<'_>,
    providers: &mut [ProviderEntry],
    written: impl Fn(&PlatformName) -> Option<&'a RawAccountLimits>,
) {
    // The first of each account at which limits stand.
    let mut first: Vec<(ProviderEntry, &Text)> = Vec::new();
    for provider in providers.iter() {
        let Some(text) = written(&provider.name).and_then(RawAccountLimits::first_text) else {
            continue;
        };
        match first
            .iter()
            .find(|(other, _)| other.account == provider.account)
        {
            None => first.push((provider.clone(), text)),
            Some((other, _)) if other.limits == provider.limits => {}
            Some((other, _)) if !are_valid(r, [&other.name, &provider.name]) => {}
            Some((other, line)) => {
                let problem = format!(
                    "`providers.{}.limits` differs from `providers.{}.limits` ({}), and both use the \
                     account `{}`; write the limits at one of them",
                    provider.name,
                    other.name,
                    r.location(line),
                    provider.account
                );
                r.problem_at(text, problem);
            }
        }
    }
    for provider in providers {
        let account = first
            .iter()
            .find(|(other, _)| other.account == provider.account);
        if let Some((other, _)) = account {
            provider.limits = other.limits.clone();
        }
    }
}

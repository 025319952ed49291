//! Reads the prices of a file.

use chrono::NaiveDate;
use longshore_settings::{Form, Placed as _, Reader, Text, form::whole};
use rust_decimal::Decimal;

use super::{
    PriceBand, PriceBook, Prices, Rates,
    forms::missing,
    raw::{RawChange, RawModel, RawPrice, RawRates, RawStep},
};

/// The prices that one source gives a model: from the start, and from later days on.
#[derive(Debug, Clone, Default)]
pub struct PriceLayer {
    pub first: Option<Prices>,
    pub changes: Vec<(NaiveDate, Prices)>,
}

impl PriceLayer {
    /// Lays these prices over those of another source. New first prices replace all old prices: with a
    /// new input price, the old cache price would be wrong. Changes alone follow the old first price.
    pub(super) fn over(self, base: Self) -> Self {
        match (&self.first, self.changes.is_empty()) {
            (None, true) => base,
            (None, false) => Self {
                first: base.first,
                changes: self.changes,
            },
            (Some(_), _) => self,
        }
    }

    /// The prices by day, if there are any. The earliest prices also apply before their first day.
    pub(super) fn book(self) -> Option<PriceBook> {
        let earliest = || self.changes.iter().min_by_key(|(from, _)| *from);
        let first = match &self.first {
            Some(first) => first.clone(),
            None => earliest()?.1.clone(),
        };
        Some(PriceBook::new(first, self.changes))
    }
}

/// The prices of a model.
pub(super) fn of_model(r: &mut Reader<'_>, raw: &RawModel) -> PriceLayer {
    let steps = raw.steps.as_deref().unwrap_or_default();
    let first = prices(
        r,
        "models",
        raw.rates(),
        steps,
        raw.batch_discount.as_ref(),
        raw.place(),
    );
    let mut changes: Vec<(NaiveDate, Prices)> = Vec::new();
    for raw in raw.price_changes.iter().flatten() {
        let Some((from, prices)) = change(r, raw) else {
            continue;
        };
        if changes.iter().any(|(other, _)| *other == from) {
            let text = format!("`models.price_changes` has {from} twice");
            r.problem_at(raw.place(), text);
        }
        changes.push((from, prices));
    }
    PriceLayer { first, changes }
}

/// The price given at the provider itself.
pub(super) fn of_default_model(r: &mut Reader<'_>, at: &str, raw: &RawPrice) -> PriceLayer {
    let at = format!("{at}.price");
    PriceLayer {
        first: rates(r, &at, raw.rates(), raw.place()).map(Prices::from),
        changes: Vec::new(),
    }
}

fn change(r: &mut Reader<'_>, raw: &RawChange) -> Option<(NaiveDate, Prices)> {
    let at = "models.price_changes";
    let near = raw.place();
    let from = needed(
        r,
        near,
        &format!("{at}.valid_from"),
        raw.valid_from.as_ref(),
        &day(),
    );
    if raw.rates().any().is_none() {
        let name = format!("{at}.input_per_million");
        return missing(r, Some(near), &name, &price().expected);
    }
    let steps = raw.steps.as_deref().unwrap_or_default();
    let prices = prices(r, at, raw.rates(), steps, raw.batch_discount.as_ref(), near);
    Some((from?, prices?))
}

fn prices(
    r: &mut Reader<'_>,
    at: &str,
    raw: RawRates<'_>,
    raw_steps: &[RawStep],
    discount: Option<&Text>,
    near: &Text,
) -> Option<Prices> {
    let part = Form::new(
        "the part that is taken off, from 0 to 1 with at most 9 decimals",
        |text| decimal(text, Decimal::ONE),
    );
    let batch_discount =
        discount.and_then(|text| r.value(&format!("{at}.batch_discount"), text, &part));
    let is_needed = discount.is_some() || !raw_steps.is_empty();
    if raw.any().is_none() && is_needed {
        let name = format!("{at}.input_per_million");
        missing::<()>(r, Some(near), &name, &price().expected);
    }
    let rates = rates(r, at, raw, near);
    let mut steps: Vec<PriceBand> = Vec::new();
    for raw in raw_steps {
        // Checked even if the prices below it are not known.
        let below = rates.as_ref().unwrap_or(&Rates::FREE);
        let Some(step) = step(r, at, raw, below) else {
            continue;
        };
        if steps
            .iter()
            .any(|other| other.above_tokens == step.above_tokens)
        {
            let text = format!("`{at}.steps` has {} twice", step.above_tokens);
            r.problem_at(raw.place(), text);
        }
        steps.push(step);
    }
    steps.sort_by_key(|step| step.above_tokens);
    Some(Prices {
        rates: rates?,
        steps,
        batch_discount,
    })
}

/// A price band; missing prices come from the band below.
fn step(r: &mut Reader<'_>, at: &str, raw: &RawStep, below: &Rates) -> Option<PriceBand> {
    let at = format!("{at}.steps");
    let above_tokens = needed(
        r,
        raw.place(),
        &format!("{at}.above_tokens"),
        raw.above_tokens.as_ref(),
        &whole(0..=1_000_000_000),
    );
    let rates = optional(r, &at, raw.rates());
    Some(PriceBand {
        above_tokens: above_tokens?,
        rates: Rates {
            input: rates.input.unwrap_or(below.input),
            output: rates.output.unwrap_or(below.output),
            cached: rates.cached.or(below.cached),
            cache_write: rates.cache_write.or(below.cache_write),
            cache_write_1h: rates.cache_write_1h.or(below.cache_write_1h),
            reasoning: rates.reasoning.or(below.reasoning),
            audio: rates.audio.or(below.audio),
            cached_audio: rates.cached_audio.or(below.cached_audio),
        },
    })
}

/// Prices. Input and output are required; `None` if the source gives no price at all.
fn rates(r: &mut Reader<'_>, at: &str, raw: RawRates<'_>, near: &Text) -> Option<Rates> {
    raw.any()?;
    let all = optional(r, at, raw);
    for (name, text) in [("input", raw.input), ("output", raw.output)] {
        if text.is_none() {
            let name = format!("{at}.{name}{}", raw.suffix);
            missing::<()>(r, Some(near), &name, &price().expected);
        }
    }
    Some(Rates {
        input: all.input?,
        output: all.output?,
        cached: all.cached,
        cache_write: all.cache_write,
        cache_write_1h: all.cache_write_1h,
        reasoning: all.reasoning,
        audio: all.audio,
        cached_audio: all.cached_audio,
    })
}

/// Prices, all optional.
struct Partial {
    input: Option<Decimal>,
    output: Option<Decimal>,
    cached: Option<Decimal>,
    cache_write: Option<Decimal>,
    cache_write_1h: Option<Decimal>,
    reasoning: Option<Decimal>,
    audio: Option<Decimal>,
    cached_audio: Option<Decimal>,
}

fn optional(r: &mut Reader<'_>, at: &str, raw: RawRates<'_>) -> Partial {
    let form = price();
    let mut one = |name: &str, text: Option<&Text>| {
        r.value(&format!("{at}.{name}{}", raw.suffix), text?, &form)
    };
    Partial {
        input: one("input", raw.input),
        output: one("output", raw.output),
        cached: one("cached", raw.cached),
        cache_write: one("cache_write", raw.cache_write),
        cache_write_1h: one("cache_write_1h", raw.cache_write_1h),
        reasoning: one("reasoning", raw.reasoning),
        audio: one("audio", raw.audio),
        cached_audio: one("cached_audio", raw.cached_audio),
    }
}

/// The highest price in dollars per million tokens, so that no sum overflows.
pub(super) const HIGHEST: u32 = 100_000;

/// The most decimals of a price, so that no amount is rounded.
pub(super) const DECIMALS: u32 = 9;

fn price() -> Form<Decimal> {
    Form::new(
        "US dollars per million tokens, from 0 to 100000 with at most 9 decimals",
        |text| decimal(text, Decimal::from(HIGHEST)),
    )
}

fn decimal(text: &str, highest: Decimal) -> Option<Decimal> {
    let number = Decimal::from_str_exact(text).ok()?.normalize();
    let allowed = number >= Decimal::ZERO && number <= highest && number.scale() <= DECIMALS;
    allowed.then_some(number)
}

pub(super) fn day() -> Form<NaiveDate> {
    Form::new("a date (UTC), such as 2026-12-01", |text| text.parse().ok())
}

fn needed<T>(
    r: &mut Reader<'_>,
    near: &Text,
    name: &str,
    text: Option<&Text>,
    form: &Form<T>,
) -> Option<T> {
    match text {
        Some(text) => r.value(name, text, form),
        None => missing(r, Some(near), name, &form.expected),
    }
}

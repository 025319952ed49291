//! Typed readers of single fields: each error states what the field expects.

use std::{
    fmt,
    ops::{RangeBounds, RangeInclusive},
};

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    by_name::ByName,
    json::Kind,
    malformed::{Malformed, MalformedCode, shortened},
};
use crate::{id::JobId, money::Usd, reply::ReplyTo};

/// The raw value of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a> {
    /// The value of a flat field.
    Text(&'a str),
    /// The value of a member of `job`.
    Json(&'a RawValue),
}

/// An error in a value, before the field's name is added.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: MalformedCode,
    pub(crate) message: String,
}

impl Problem {
    /// The same problem, in a part of the value.
    pub(crate) fn at(self, place: impl fmt::Display) -> Self {
        Self {
            message: format!("{place}: {}", self.message),
            ..self
        }
    }
}

pub(crate) type Read<T> = Result<T, Problem>;

/// The fields of a message that have not been read yet.
#[derive(Debug)]
pub(crate) struct Fields<'a>(pub(crate) ByName<'a, Input<'a>>);

impl<'a> Fields<'a> {
    /// Removes a field and reads it.
    pub(crate) fn take<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Input<'a>) -> Read<T>,
    ) -> Result<Option<T>, Malformed> {
        field(name, self.0.remove(name), read)
    }
}

/// Reads a field; null counts as absent.
pub(crate) fn field<'a, T>(
    name: &str,
    input: Option<Input<'a>>,
    read: impl FnOnce(Input<'a>) -> Read<T>,
) -> Result<Option<T>, Malformed> {
    input
        .filter(|input| !input.is_null())
        .map(read)
        .transpose()
        .map_err(|problem| match problem.code {
            MalformedCode::NotJson => Malformed::whole(problem.code, problem.message),
            code => Malformed::new(code, name, problem.message),
        })
}

impl<'a> Input<'a> {
    pub(crate) fn is_null(self) -> bool {
        matches!(self, Self::Json(value) if Kind::detect(value) == Kind::Null)
    }

    fn quoted(self) -> String {
        match self {
            Self::Text(text) => format!("\"{}\"", shortened(text)),
            Self::Json(value) => shortened(value.get()),
        }
    }

    pub(crate) fn is_not(self, code: MalformedCode, expected: impl fmt::Display) -> Problem {
        let got = self.quoted();
        Problem {
            code,
            message: format!("expected {expected}, but got {got}"),
        }
    }

    /// The value as JSON; a flat field contains JSON as text.
    fn json(self, expected: &str) -> Read<&'a RawValue> {
        match self {
            Self::Json(value) => Ok(value),
            Self::Text(text) => serde_json::from_str(text).map_err(|_| {
                self.is_not(MalformedCode::BadValue, format_args!("{expected}, as JSON"))
            }),
        }
    }

    /// The raw JSON of a value of one kind.
    pub(crate) fn of_kind(self, kind: Kind, expected: &str) -> Read<&'a str> {
        let value = self.json(expected)?;
        if Kind::detect(value) == kind {
            Ok(value.get())
        } else {
            Err(self.is_not(MalformedCode::WrongType, expected))
        }
    }

    pub(crate) fn text(self, expected: &str) -> Read<String> {
        match self {
            Self::Text(text) => Ok(text.to_owned()),
            Self::Json(_) => decoded(self.of_kind(Kind::Text, expected)?),
        }
    }

    /// A number. Text in JSON is accepted only if `or_text`; flat fields are always text.
    pub(crate) fn number(self, or_text: bool, expected: impl fmt::Display) -> Read<f64> {
        let read = |text: &str| {
            Some(text)
                .filter(|text| is_decimal(text))
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| self.is_not(MalformedCode::BadValue, &expected))
        };
        match self {
            Self::Text(text) => read(text),
            Self::Json(value) => match Kind::detect(value) {
                Kind::Number => value
                    .get()
                    .parse()
                    .map_err(|_| self.is_not(MalformedCode::WrongType, &expected)),
                Kind::Text if or_text => read(&decoded::<String>(value.get())?),
                _ => Err(self.is_not(MalformedCode::WrongType, &expected)),
            },
        }
    }

    pub(crate) fn number_within(
        self,
        range: impl RangeBounds<f64>,
        or_text: bool,
        expected: &str,
    ) -> Read<f64> {
        let number = self.number(or_text, expected)?;
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(self.is_not(MalformedCode::OutOfRange, expected))
        }
    }
}

/// Decodes valid JSON. What can still fail is an unpaired surrogate or a number out of range, which
/// makes the JSON invalid.
pub(crate) fn decoded<'a, T: Deserialize<'a>>(json: &'a str) -> Read<T> {
    serde_json::from_str(json).map_err(|error| Problem {
        code: MalformedCode::NotJson,
        message: format!("the value {} is not JSON: {error}", shortened(json)),
    })
}

/// Digits with an optional sign and fraction; no exponent, no infinity.
pub(crate) fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    digits(whole) && digits(fraction)
}

pub(crate) fn is_plain(text: &str, longest: usize, punctuation: &str) -> bool {
    (1..=longest).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || punctuation.contains(c))
}

pub(crate) fn any_text(input: Input<'_>) -> Read<String> {
    input.text("text")
}

/// Text that is not empty.
pub(crate) fn prompt(input: Input<'_>) -> Read<String> {
    let prompt = input.text("text")?;
    if prompt.is_empty() {
        return Err(input.is_not(MalformedCode::NoPrompt, "text that is not empty"));
    }
    Ok(prompt)
}

fn text_that(input: Input<'_>, expected: &str, fits: impl FnOnce(&str) -> bool) -> Read<String> {
    let text = input.text(expected)?;
    if fits(&text) {
        Ok(text)
    } else {
        Err(input.is_not(MalformedCode::BadValue, expected))
    }
}

/// Whether `text` is a single line of 1 to `longest` characters.
pub fn is_line(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.chars().take(longest + 1).count())
        && !text.chars().any(char::is_control)
}

/// A name or a key.
pub(crate) fn name(input: Input<'_>) -> Read<String> {
    const EXPECTED: &str = "text of 1 to 200 characters without control characters";
    text_that(input, EXPECTED, |text| is_line(text, 200))
}

/// An input of the routing rules.
pub(crate) fn label(input: Input<'_>) -> Read<String> {
    const EXPECTED: &str = "text of 1 to 64 characters without control characters";
    text_that(input, EXPECTED, |text| is_line(text, 64))
}

pub(crate) fn task_type(input: Input<'_>) -> Read<String> {
    const EXPECTED: &str = "text of 1 to 200 characters of [A-Za-z0-9._:/-]";
    text_that(input, EXPECTED, |text| is_plain(text, 200, "._:/-"))
}

/// A W3C trace context. A newer version may have further parts.
pub(crate) fn traceparent(input: Input<'_>) -> Read<String> {
    const EXPECTED: &str = "a W3C traceparent: 00-, 32 hex digits, -, 16 hex digits, -, 2 hex \
                            digits, in lower case and neither id all zeros";
    text_that(input, EXPECTED, |text| {
        let hex = |part: &str, length: usize| {
            part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let id = |part: &str, length: usize| hex(part, length) && part.bytes().any(|b| b != b'0');
        let mut parts = text.splitn(5, '-');
        let mut next = || parts.next().unwrap_or_default();
        let version = next();
        hex(version, 2)
            && version != "ff"
            && id(next(), 32)
            && id(next(), 16)
            && hex(next(), 2)
            && (version != "00" || parts.next().is_none())
            && is_line(text, 200)
    })
}

pub(crate) fn boolean(input: Input<'_>) -> Read<bool> {
    match input {
        Input::Text("true" | "1") => Ok(true),
        Input::Text("false" | "0") => Ok(false),
        Input::Text(_) => Err(input.is_not(MalformedCode::BadValue, "true or false")),
        Input::Json(_) => decoded(input.of_kind(Kind::Bool, "true or false")?),
    }
}

/// Where the outcome is pushed: `true`, `false`, or `@` and the name of a reader.
pub(crate) fn reply(input: Input<'_>) -> Read<Option<ReplyTo>> {
    const EXPECTED: &str = "true, false, or `@` and a name of 1 to 64 characters of [A-Za-z0-9_-]";
    let reader = |text: &str, code| {
        let reader = ReplyTo::parse_reader(text).ok_or_else(|| input.is_not(code, EXPECTED))?;
        Ok(Some(reader))
    };
    match input {
        Input::Text("true" | "1") => Ok(Some(ReplyTo::Anyone)),
        Input::Text("false" | "0") => Ok(None),
        Input::Text(text) => reader(text, MalformedCode::BadValue),
        Input::Json(value) => match Kind::detect(value) {
            Kind::Bool => Ok(decoded::<bool>(value.get())?.then_some(ReplyTo::Anyone)),
            Kind::Text => reader(&decoded::<String>(value.get())?, MalformedCode::BadValue),
            _ => Err(input.is_not(MalformedCode::WrongType, EXPECTED)),
        },
    }
}

/// A whole number.
pub(crate) fn whole(input: Input<'_>, range: RangeInclusive<u32>) -> Read<u32> {
    let (least, most) = range.into_inner();
    let expected = format_args!("a whole number from {least} to {most}");
    let number = input.number(false, expected)?;
    if number.is_finite() && number.fract() != 0.0 {
        return Err(input.is_not(MalformedCode::WrongType, expected));
    }
    if !(f64::from(least)..=f64::from(most)).contains(&number) {
        return Err(input.is_not(MalformedCode::OutOfRange, expected));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and within the range of u32, as was just seen"
    )]
    Ok(number as u32)
}

/// The protocol version, at least 1. A number above `u64` counts as the highest.
pub(crate) fn version(input: Input<'_>) -> Read<u64> {
    const EXPECTED: &str = "the version of the protocol, a whole number from 1";
    let number = input.number(false, EXPECTED)?;
    if number.is_finite() && number.fract() != 0.0 {
        return Err(input.is_not(MalformedCode::WrongType, EXPECTED));
    }
    if number < 1.0 {
        return Err(input.is_not(MalformedCode::OutOfRange, EXPECTED));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and over 0, as was just seen; `as` saturates"
    )]
    Ok(number as u64)
}

pub(crate) fn temperature(input: Input<'_>) -> Read<f64> {
    input.number_within(0.0..=2.0, false, "a number from 0 to 2")
}

/// The producer's own id.
pub(crate) fn id(input: Input<'_>) -> Read<JobId> {
    const EXPECTED: &str = "text of 1 to 128 characters of [A-Za-z0-9._:@/-]";
    let text = input.text(EXPECTED)?;
    let id = JobId::parse(&text).map_err(|_| input.is_not(MalformedCode::BadValue, EXPECTED))?;
    if id.is_server_form() {
        return Err(input.is_not(
            MalformedCode::ReservedId,
            "an id that is not of the server's own form (1795232878059-0, queue:1795232878059-0)",
        ));
    }
    Ok(id)
}

pub(crate) fn max_cost(input: Input<'_>) -> Read<Usd> {
    const EXPECTED: &str = "US dollars over 0 as decimal text, such as \"0.05\"";
    let text = input.text(EXPECTED)?;
    if !is_decimal(&text) {
        return Err(input.is_not(MalformedCode::BadValue, EXPECTED));
    }
    match text.parse::<Usd>() {
        Err(_) => Err(input.is_not(MalformedCode::BadValue, "at most 28 digits of US dollars")),
        Ok(Usd(amount)) if amount <= Decimal::ZERO => {
            Err(input.is_not(MalformedCode::OutOfRange, EXPECTED))
        }
        Ok(amount) => Ok(amount),
    }
}

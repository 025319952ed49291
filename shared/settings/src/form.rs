//! The forms that a setting's text can have.

use std::{fmt, net::SocketAddr, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::{
    duration::{format_duration, parse_duration},
    redacted,
};

type Parse<T> = Box<dyn Fn(&str) -> Option<T>>;
type Format<T> = Box<dyn Fn(&T) -> String>;

/// How a setting is written: how its text is parsed, and what an error says that it should be.
pub struct Form<T> {
    /// What a valid text is, as it follows "expected" in an error.
    pub expected: String,
    /// Whether errors hide the text.
    pub is_secret: bool,
    /// Whether this is a duration. The variable of a duration may also end in `_SECONDS`.
    pub is_duration: bool,
    values: Option<String>,
    parse: Parse<T>,
    format: Format<T>,
    show: Option<Format<T>>,
}

impl<T> Form<T> {
    /// A form whose values are written as they display.
    pub fn new(expected: impl Into<String>, parse: impl Fn(&str) -> Option<T> + 'static) -> Self
    where
        T: fmt::Display + 'static,
    {
        Self::with_format(expected, parse, T::to_string)
    }

    /// A form whose values `format` writes.
    pub fn with_format(
        expected: impl Into<String>,
        parse: impl Fn(&str) -> Option<T> + 'static,
        format: impl Fn(&T) -> String + 'static,
    ) -> Self {
        Self {
            expected: expected.into(),
            is_secret: false,
            is_duration: false,
            values: None,
            parse: Box::new(parse),
            format: Box::new(format),
            show: None,
        }
    }

    /// The same form, but errors hide the text.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// The same form, described by `values` in the reference.
    #[must_use]
    pub fn values(mut self, values: impl Into<String>) -> Self {
        self.values = Some(values.into());
        self
    }

    /// The same form, whose values `show` displays to people.
    #[must_use]
    pub fn shown_as(mut self, show: impl Fn(&T) -> String + 'static) -> Self {
        self.show = Some(Box::new(show));
        self
    }

    /// The form of a setting that may be unset, which is displayed as `unset`.
    #[must_use]
    pub fn or_unset(self, unset: &'static str) -> Form<Option<T>>
    where
        T: 'static,
    {
        let (parse, format) = (self.parse, self.format);
        let format_set = move |value: &Option<T>| value.as_ref().map(&format);
        let show = self.show.map(|show| -> Format<Option<T>> {
            Box::new(move |value: &Option<T>| {
                value.as_ref().map_or_else(|| unset.to_owned(), &show)
            })
        });
        Form {
            expected: self.expected,
            is_secret: self.is_secret,
            is_duration: self.is_duration,
            values: self.values,
            parse: Box::new(move |text| parse(text).map(Some)),
            format: Box::new(move |value: &Option<T>| {
                format_set(value).unwrap_or_else(|| unset.to_owned())
            }),
            show,
        }
    }

    /// Parses a text, or returns `None` if it is not valid.
    pub fn parse(&self, text: &str) -> Option<T> {
        (self.parse)(text.trim())
    }

    /// Writes a value as in a file. The text of a secret may be in it.
    pub fn format(&self, value: &T) -> String {
        (self.format)(value)
    }

    /// Displays a value to people, without secrets.
    pub fn show(&self, value: &T) -> String {
        self.show.as_ref().unwrap_or(&self.format)(value)
    }

    /// The valid values in a few words, for the reference.
    pub fn describe_values(&self) -> &str {
        let words = self.expected.strip_prefix("one of ");
        self.values
            .as_deref()
            .unwrap_or_else(|| words.unwrap_or(&self.expected))
    }
}

/// A whole number; `_` and `,` may separate digits.
pub fn whole<N>(range: RangeInclusive<N>) -> Form<N>
where
    N: FromStr + PartialOrd + fmt::Display + 'static,
{
    let values = format!("{} to {}", range.start(), range.end());
    let expected = format!("a whole number from {values}");
    let form = Form::new(expected, move |text| {
        let digits = text.replace(['_', ','], "");
        digits.parse().ok().filter(|number| range.contains(number))
    });
    form.values(values)
}

/// Yes or no.
pub fn flag() -> Form<bool> {
    let form = Form::new("true or false", |text| {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    });
    form.values("true, false")
}

/// A duration with a unit, or a bare number of seconds.
pub fn duration(range: RangeInclusive<Duration>) -> Form<Duration> {
    let values = format!(
        "{} to {}",
        format_duration(*range.start()),
        format_duration(*range.end())
    );
    let expected = format!(
        "a time from {values}, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)"
    );
    let parse = move |text: &str| {
        let duration = match text.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Err(_) => parse_duration(text),
        };
        duration.filter(|duration| range.contains(duration))
    };
    let mut form = Form::with_format(expected, parse, |duration| format_duration(*duration));
    form.is_duration = true;
    form.values(values)
}

/// A number of bytes, bare or with a unit.
pub fn bytes(range: RangeInclusive<usize>) -> Form<usize> {
    let expected = format!(
        "a number of bytes from {} to {}, such as 65536, 512KiB or 1MiB",
        range.start(),
        range.end()
    );
    let values = format!(
        "{} to {}",
        format_bytes(*range.start()),
        format_bytes(*range.end())
    );
    let parse = move |text: &str| parse_bytes(text).filter(|bytes| range.contains(bytes));
    Form::with_format(expected, parse, |bytes| format_bytes(*bytes))
        .shown_as(usize::to_string)
        .values(values)
}

fn parse_bytes(text: &str) -> Option<usize> {
    let unit_start = text
        .find(|c: char| c.is_ascii_alphabetic() || c == ' ')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(unit_start)?;
    let size = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number
        .replace('_', "")
        .parse::<usize>()
        .ok()?
        .checked_mul(size)
}

fn format_bytes(bytes: usize) -> String {
    [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
        .into_iter()
        .find(|(size, _)| bytes >= *size && bytes.is_multiple_of(*size))
        .map_or_else(
            || bytes.to_string(),
            |(size, unit)| format!("{}{unit}", bytes / size),
        )
}

/// An address to listen on, or `off`.
pub fn listen() -> Form<Option<SocketAddr>> {
    Form::with_format(
        "an address and a port, such as 0.0.0.0:9100, or off",
        |text| {
            if text.eq_ignore_ascii_case("off") {
                Some(None)
            } else {
                text.parse().ok().map(Some)
            }
        },
        |address: &Option<SocketAddr>| {
            address.map_or_else(|| "off".to_owned(), |address| address.to_string())
        },
    )
}

/// A program that may be run.
pub fn program() -> Form<String> {
    Form::new(
        "programs: names that are found on PATH, or absolute paths",
        |text| {
            let is_name = !text.is_empty() && !text.contains('/');
            (is_name || text.starts_with('/')).then(|| text.to_owned())
        },
    )
}

/// The address of a server, of one of these schemes. It may contain a password.
pub fn server(expected: &str, schemes: &'static [&'static str]) -> Form<SecretString> {
    let parse = move |text: &str| {
        let url = Url::parse(text).ok()?;
        schemes
            .contains(&url.scheme())
            .then(|| SecretString::from(text.to_owned()))
    };
    Form::with_format(expected, parse, |url| url.expose_secret().to_owned())
        .shown_as(|url| redacted(url.expose_secret()))
        .secret()
}

/// The path of a file.
pub fn file() -> Form<PathBuf> {
    Form::with_format(
        "the path of a file",
        |text| (!text.is_empty()).then(|| PathBuf::from(text)),
        |path: &PathBuf| path.display().to_string(),
    )
    .values("a path")
}

/// A base URL. Messages show it, so it may not contain a key.
pub fn url() -> Form<Url> {
    Form::new(
        "an http:// or https:// address with a host, without a login or a query",
        |text| {
            let url = Url::parse(text).ok()?;
            let login = !url.username().is_empty() || url.password().is_some();
            let plain = !login && url.query().is_none() && url.fragment().is_none();
            (matches!(url.scheme(), "http" | "https") && url.has_host() && plain).then_some(url)
        },
    )
    .secret()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_number_is_seconds() {
        let form = duration(Duration::ZERO..=Duration::MAX);
        for (text, ms) in [("30", 30_000), ("0.5", 500), ("250ms", 250)] {
            assert_eq!(form.parse(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1", "1y", "1h30m", "nan", "inf", "1e30"] {
            assert_eq!(form.parse(text), None, "{text}");
        }
    }

    #[test]
    fn sizes() {
        let form = bytes(1..=1 << 30);
        assert_eq!(form.parse("1MiB"), Some(1 << 20));
        assert_eq!(form.parse("65_536"), Some(65_536));
        assert_eq!(form.parse("1GB"), None);
        assert_eq!(form.parse("18446744073709551615MiB"), None);
        assert_eq!(form.format(&(1 << 20)), "1MiB");
        assert_eq!(form.show(&(1 << 20)), "1048576");
    }

    #[test]
    fn an_unset_value_has_a_word() {
        let form = whole(1..=9).or_unset("none");
        assert_eq!(form.parse("3"), Some(Some(3)));
        assert_eq!(form.parse("none"), None);
        assert_eq!(form.show(&Some(3)), "3");
        assert_eq!(form.show(&None), "none");
        assert_eq!(form.describe_values(), "1 to 9");
    }

    #[test]
    fn a_server_is_shown_without_its_password() {
        let form = server("redis://host", &["redis"]);
        let url = form.parse("redis://:hunter2@cache").unwrap();
        assert_eq!(form.show(&url), "cache:6379");
        assert_eq!(form.format(&url), "redis://:hunter2@cache");
    }

    #[test]
    fn web_addresses() {
        assert!(url().parse("http://localhost:11434/v1").is_some());
        for text in [
            "localhost:11434",
            "ftp://x",
            "https://user:key@x",
            "https://x?key=1",
            "https://",
        ] {
            assert!(url().parse(text).is_none(), "{text}");
        }
    }
}

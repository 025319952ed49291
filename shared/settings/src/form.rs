//! The forms that a setting's text can have.

use std::{fmt, net::SocketAddr, ops::RangeInclusive, str::FromStr, time::Duration};

use secrecy::SecretString;
use url::Url;

type Understand<T> = Box<dyn Fn(&str) -> Option<T>>;

/// How a text is understood, and what to say when it cannot be.
pub struct Form<T> {
    /// What would be right, after "expected".
    pub expected: String,
    /// Whether a wrong text may be shown.
    pub secret: bool,
    /// Whether this is a duration, whose variable may also end in `_SECONDS`.
    pub seconds: bool,
    understand: Understand<T>,
}

impl<T> Form<T> {
    pub fn new(
        expected: impl Into<String>,
        understand: impl Fn(&str) -> Option<T> + 'static,
    ) -> Self {
        Self {
            expected: expected.into(),
            secret: false,
            seconds: false,
            understand: Box::new(understand),
        }
    }

    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub fn understand(&self, text: &str) -> Option<T> {
        (self.understand)(text.trim())
    }
}

/// A whole number; `_` and `,` may stand between digits.
pub fn whole<N>(range: RangeInclusive<N>) -> Form<N>
where
    N: FromStr + PartialOrd + fmt::Display + 'static,
{
    let expected = format!("a whole number from {} to {}", range.start(), range.end());
    Form::new(expected, move |text| {
        let digits = text.replace(['_', ','], "");
        digits.parse().ok().filter(|number| range.contains(number))
    })
}

/// Yes or no.
pub fn flag() -> Form<bool> {
    Form::new("true or false", |text| {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    })
}

/// A time, in seconds or with a unit.
pub fn duration(range: RangeInclusive<Duration>) -> Form<Duration> {
    let expected = format!(
        "a time from {} to {}, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)",
        spelled(*range.start()),
        spelled(*range.end())
    );
    let mut form = Form::new(expected, move |text| {
        time(text).filter(|time| range.contains(time))
    });
    form.seconds = true;
    form
}

/// A time as it is written in a file.
pub fn spelled(time: Duration) -> String {
    let ms = time.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    units
        .iter()
        .find(|(size, _)| ms >= *size && ms.is_multiple_of(*size))
        .map_or_else(
            || format!("{ms}ms"),
            |(size, unit)| format!("{}{unit}", ms / size),
        )
}

fn time(text: &str) -> Option<Duration> {
    let end = text
        .find(|c: char| c.is_ascii_alphabetic() || c == ' ')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// A number of bytes, bare or with a unit.
pub fn bytes(range: RangeInclusive<usize>) -> Form<usize> {
    let expected = format!(
        "a number of bytes from {} to {}, such as 65536, 512KiB or 1MiB",
        range.start(),
        range.end()
    );
    Form::new(expected, move |text| {
        let end = text
            .find(|c: char| c.is_ascii_alphabetic() || c == ' ')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(end)?;
        let size = match unit.trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            _ => return None,
        };
        let bytes = number
            .replace('_', "")
            .parse::<usize>()
            .ok()?
            .checked_mul(size)?;
        range.contains(&bytes).then_some(bytes)
    })
}

/// An address to listen at, or `off`.
pub fn listen() -> Form<Option<SocketAddr>> {
    Form::new(
        "an address and a port, such as 0.0.0.0:9100, or off",
        |text| {
            if text.eq_ignore_ascii_case("off") {
                Some(None)
            } else {
                text.parse().ok().map(Some)
            }
        },
    )
}

/// A program that may be run.
pub fn program() -> Form<String> {
    Form::new(
        "programs: names that are found on PATH, or absolute paths",
        |text| {
            let named = !text.is_empty() && !text.contains('/');
            (named || text.starts_with('/')).then(|| text.to_owned())
        },
    )
}

/// Programs, with commas between.
pub fn programs() -> Form<Vec<String>> {
    let one = program();
    Form::new(
        format!("{}, with commas between", one.expected),
        move |text| text.split(',').map(|name| one.understand(name)).collect(),
    )
}

/// The address of a server with a login in it, of one of these schemes.
pub fn server(expected: &str, schemes: &'static [&'static str]) -> Form<SecretString> {
    Form::new(expected, |text| {
        let url = Url::parse(text).ok()?;
        schemes
            .contains(&url.scheme())
            .then(|| SecretString::from(text.to_owned()))
    })
    .secret()
}

/// A web address that paths are added to. A key in it would show in messages, so there may be none.
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
    fn times() {
        for (text, ms) in [
            ("30", 30_000),
            ("0.5", 500),
            ("250ms", 250),
            ("10 m", 600_000),
            ("30d", 2_592_000_000),
        ] {
            assert_eq!(time(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1", "1w", "1h30m", "nan", "inf", "1e30"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_spelled_as_they_are_written() {
        for text in ["500ms", "30s", "10m", "24h", "30d"] {
            let again = spelled(time(text).unwrap());
            assert_eq!(time(&again), time(text), "{text}");
        }
        assert_eq!(spelled(Duration::from_secs(90)), "90s");
        assert_eq!(spelled(Duration::ZERO), "0ms");
    }

    #[test]
    fn sizes() {
        let form = bytes(1..=1 << 30);
        assert_eq!(form.understand("1MiB"), Some(1 << 20));
        assert_eq!(form.understand("65_536"), Some(65_536));
        assert_eq!(form.understand("1GB"), None);
        assert_eq!(form.understand("18446744073709551615MiB"), None);
    }

    #[test]
    fn web_addresses() {
        assert!(url().understand("http://localhost:11434/v1").is_some());
        for text in [
            "localhost:11434",
            "ftp://x",
            "https://user:key@x",
            "https://x?key=1",
            "https://",
        ] {
            assert!(url().understand(text).is_none(), "{text}");
        }
    }
}

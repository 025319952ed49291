//! `longshore pause` and `longshore resume`: queues, types of jobs and providers that rest for a while.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use comfy_table::Cell;
use longshore_shared::{
    catalog::PlatformName,
    id::QueueName,
    pause::{Pause, Pauses, Target},
};
use serde::Serialize;

use super::words::{self, ago, drawn, head, of_ms, or_dash, span, table, time};
use crate::{
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Characters of a reason.
const LONGEST_REASON: usize = 200;

/// What to pause.
#[derive(Debug, clap::Args)]
pub(crate) struct Pausing {
    #[command(flatten)]
    what: What,
    /// Why, for those who ask what their jobs wait for
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// Resume by itself after so long: 30s, 10m, 2h, 7d
    #[arg(long = "for", value_name = "SPAN", value_parser = words::lasting)]
    lasts: Option<Duration>,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What to resume.
#[derive(Debug, clap::Args)]
pub(crate) struct Resuming {
    #[command(flatten)]
    what: What,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct What {
    /// What it is
    kind: Kind,
    /// Its name
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Nobody takes jobs from it; producers go on
    Queue,
    /// Its jobs wait in order, and spend no attempt
    Type,
    /// Nobody calls it; jobs go to others, or wait
    Provider,
}

/// A pause, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    what: Target,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    reason: Option<String>,
    #[serde(skip)]
    now: DateTime<Utc>,
}

impl Shown {
    fn new(what: Target, pause: &Pause, now: DateTime<Utc>) -> Self {
        Self {
            what,
            since: of_ms(pause.since),
            until: pause.until.map(of_ms),
            reason: pause.reason.clone(),
            now,
        }
    }

    /// All that is paused now.
    pub(crate) fn all(pauses: &Pauses, now: DateTime<Utc>) -> Vec<Self> {
        pauses
            .lasting(now.timestamp_millis())
            .map(|(what, pause)| Self::new(what, pause, now))
            .collect()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what, since, now, ..
        } = self;
        write!(f, "{what} is paused since {}", ago(*since, *now))?;
        if let Some(until) = self.until {
            write!(f, ", for another {}", span(until - *now))?;
        }
        match &self.reason {
            Some(reason) => write!(f, ": {}", head(reason, LONGEST_REASON)),
            None => Ok(()),
        }
    }
}

/// That something is paused, in words.
pub(crate) fn pause_words(target: &Target, pause: &Pause, now: DateTime<Utc>) -> String {
    Shown::new(target.clone(), pause, now).to_string()
}

/// All that is paused, in a table.
pub(crate) fn listed(pauses: &[Shown]) -> String {
    let mut lines = table(["PAUSED", "SINCE", "UNTIL", "REASON"]);
    for pause in pauses {
        lines.add_row([
            Cell::new(&pause.what),
            Cell::new(ago(pause.since, pause.now)),
            Cell::new(pause.until.map_or_else(|| "resumed".to_owned(), time)),
            Cell::new(or_dash(pause.reason.as_deref())),
        ]);
    }
    drawn(&lines)
}

/// Pauses it; whoever pauses again says anew until when and why.
pub(crate) async fn pause(arguments: Pausing, session: &Session) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    let target = arguments.what.target(session)?;
    let reason = arguments.reason.as_deref();
    let pause = broker.pause(&target, arguments.lasts, reason).await?;
    let shown = Shown::new(target, &pause, Utc::now());
    match arguments.format {
        Format::Json => output::json(&shown),
        Format::Text => output::line(&shown),
    }
    Ok(Done::Success)
}

#[derive(Debug, Serialize)]
struct Resumed {
    what: Target,
    was_paused: bool,
}

/// Resumes it; exit code 1 when it was not paused.
pub(crate) async fn resume(arguments: Resuming, session: &Session) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    let what = arguments.what.target(session)?;
    let was_paused = broker.resume(&what).await?;
    match arguments.format {
        Format::Text if was_paused => output::line(format_args!("{what} goes on")),
        Format::Text => output::complain(&format_args!("{what} is not paused")),
        Format::Json => output::json(&Resumed { what, was_paused }),
    }
    Ok(if was_paused {
        Done::Success
    } else {
        Done::Failure
    })
}

impl What {
    fn target(&self, session: &Session) -> Result<Target, CommandError> {
        let wrong = |error: &dyn fmt::Display| CommandError::Input(error.to_string());
        match self.kind {
            Kind::Queue => QueueName::parse(&self.name)
                .map(|name| Target::queue(&name))
                .map_err(|error| wrong(&error)),
            Kind::Type if is_type(&self.name) => Ok(Target::task_type(&self.name)),
            Kind::Type => Err(wrong(&format_args!(
                "type `{}` is not valid: expected 1 to 200 characters of [A-Za-z0-9._:/-]",
                head(&self.name, 200)
            ))),
            Kind::Provider => {
                let providers = &session.config.catalog.providers;
                let names = || providers.iter().map(|provider| &provider.name);
                names()
                    .find(|name| name.as_str() == self.name)
                    .map(Target::provider)
                    .ok_or_else(|| wrong(&unknown(&self.name, names())))
            }
        }
    }
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a PlatformName>) -> String {
    let known: Vec<&str> = known.map(PlatformName::as_str).collect();
    format!(
        "no provider `{}`; expected one of {}",
        head(name, 60),
        known.join(", ")
    )
}

/// As a message may name it.
fn is_type(name: &str) -> bool {
    (1..=200).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._:/-".contains(c))
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if (1..=LONGEST_REASON).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "expected one line of 1 to {LONGEST_REASON} characters"
        ))
    }
}

/// A pause for tests of what shows it.
#[cfg(test)]
pub(super) fn example() -> Shown {
    let at = |text: &str| text.parse().unwrap();
    Shown {
        what: Target::task_type("research"),
        since: at("2026-12-01T11:55:00Z"),
        until: Some(at("2026-12-01T13:00:00Z")),
        reason: Some("prices are looked at".to_owned()),
        now: at("2026-12-01T12:00:00Z"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_told_in_words() {
        let mut pause = example();
        assert_eq!(
            pause.to_string(),
            "type research is paused since 5m, for another 60m: prices are looked at"
        );
        assert_eq!(
            serde_json::to_value(&pause).unwrap(),
            serde_json::json!({
                "what": "type:research",
                "since": "2026-12-01T11:55:00Z",
                "until": "2026-12-01T13:00:00Z",
                "reason": "prices are looked at"
            })
        );
        pause.until = None;
        pause.reason = None;
        assert_eq!(pause.to_string(), "type research is paused since 5m");
    }

    #[test]
    fn names_and_reasons_are_checked() {
        assert!(is_type("a:b/c") && !is_type("a b") && !is_type(""));
        assert_eq!(reason(" x "), Ok("x".to_owned()));
        for text in ["", " ", "a\nb", &"x".repeat(201)] {
            assert!(reason(text).is_err(), "{text:?}");
        }
    }
}

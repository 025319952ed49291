//! `longshore pause` and `longshore resume`: pause queues, job types and providers.

use std::{fmt, time::Duration};

use longshore_policy::{catalog::ProviderEntry, pause::Target};
use longshore_protocol::{clock::local_time, id::QueueName, platform::PlatformName};
use serde::Serialize;

use crate::{
    audit,
    error::{CommandError, Exit},
    options,
    output::{self, Format},
    render::{
        pause::{LONGEST_REASON, ShownPause},
        text::one_line,
    },
    session::Session,
    waiting::missing_worker,
};

/// What to pause.
#[derive(Debug, clap::Args)]
pub(crate) struct PauseArguments {
    #[command(flatten)]
    what: What,
    /// Reason, shown to people whose jobs wait
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: Option<String>,
    /// Resume automatically after: 30s, 10m, 2h, 7d
    #[arg(long = "for", value_name = "SPAN", value_parser = options::span)]
    lasts: Option<Duration>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What to resume.
#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArguments {
    #[command(flatten)]
    what: What,
    /// For a provider: also end the hold on its account, which stops all calls until a time that the provider named
    #[arg(long)]
    now: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct What {
    /// What to pause or resume
    kind: Kind,
    /// Name
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Workers pull no jobs from it; producers can still enqueue
    Queue,
    /// Its jobs are parked in order, without using an attempt
    Type,
    /// Workers do not call it; jobs go to other providers, or wait
    Provider,
}

/// Pauses the target. Pausing again replaces the end and the reason.
pub(crate) async fn pause(
    arguments: PauseArguments,
    session: &Session,
) -> Result<Exit, CommandError> {
    let target = arguments.what.target(session)?;
    let broker = session.broker().await?;
    let reason = arguments.reason.as_deref();
    let pause = broker
        .pauses()
        .pause(&target, arguments.lasts, reason)
        .await?;
    audit::add_affected(1);
    if let (Kind::Queue, Ok(queue)) = (arguments.what.kind, QueueName::parse(&arguments.what.name))
        && let Some(missing) = missing_worker(&broker, &queue).await?
    {
        output::warning(missing);
    }
    let shown = ShownPause::new(target, &pause, local_time());
    arguments.format.print_with(&shown, || shown.confirmation());
    Ok(Exit::Success)
}

#[derive(Debug, Serialize)]
struct Resumed {
    what: Target,
    was_paused: bool,
    /// The account whose hold ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    released_account: Option<PlatformName>,
}

/// Resumes the target; exit code 1 if it was neither paused nor on hold.
pub(crate) async fn resume(
    arguments: ResumeArguments,
    session: &Session,
) -> Result<Exit, CommandError> {
    let ResumeArguments { what, now, format } = arguments;
    if now && what.kind != Kind::Provider {
        let text = "--now is for a provider: it ends the hold of its account";
        return Err(CommandError::Input(text.to_owned()));
    }
    let target = what.target(session)?;
    let broker = session.broker().await?;
    let was_paused = broker.pauses().resume(&target).await?;
    audit::add_affected(usize::from(was_paused));
    let released_account = if now {
        let account = what.provider(session)?.account.clone();
        let released = broker.limits().release_account(&account).await?;
        audit::add_affected(usize::from(released.is_some()));
        released.map(|_| account)
    } else {
        None
    };
    let has_changed = was_paused || released_account.is_some();
    match format {
        Format::Json => output::json(&Resumed {
            what: target,
            was_paused,
            released_account,
        }),
        Format::Text => {
            if let Some(account) = &released_account {
                output::line(format_args!("account {account} is no longer on hold"));
            }
            match (was_paused, now) {
                (true, _) => output::line(format_args!("{target} is resumed")),
                (false, false) => output::error(&format_args!("{target} is not paused")),
                (false, true) if !has_changed => {
                    output::error(&format_args!("{target} is neither paused nor on hold"));
                }
                (false, true) => {}
            }
        }
    }
    Ok(Exit::success_if(has_changed))
}

impl What {
    fn target(&self, session: &Session) -> Result<Target, CommandError> {
        let input_error = |error: &dyn fmt::Display| CommandError::Input(error.to_string());
        match self.kind {
            Kind::Queue => QueueName::parse(&self.name)
                .map(|name| Target::queue(&name))
                .map_err(|error| input_error(&error)),
            Kind::Type if is_valid_type(&self.name) => Ok(Target::task_type(&self.name)),
            Kind::Type => Err(input_error(&format_args!(
                "type `{}` is not valid: expected 1 to 200 characters of [A-Za-z0-9._:/-]",
                one_line(&self.name, 200)
            ))),
            Kind::Provider => {
                let provider = self.provider(session)?;
                Ok(Target::provider(&provider.name))
            }
        }
    }

    fn provider<'s>(&self, session: &'s Session) -> Result<&'s ProviderEntry, CommandError> {
        let providers = &session.config.catalog.providers;
        let mut named = providers.iter();
        named
            .find(|provider| provider.name.as_str() == self.name)
            .ok_or_else(|| {
                let names = providers.iter().map(|provider| &provider.name);
                CommandError::Input(unknown_provider(&self.name, names))
            })
    }
}

fn unknown_provider<'a>(name: &str, known: impl Iterator<Item = &'a PlatformName>) -> String {
    let known: Vec<&str> = known.map(PlatformName::as_str).collect();
    format!(
        "no provider `{}`; expected one of {}",
        one_line(name, 60),
        known.join(", ")
    )
}

/// Whether this is a valid job type.
fn is_valid_type(name: &str) -> bool {
    (1..=200).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._:/-".contains(c))
}

fn parse_reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if (1..=LONGEST_REASON).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "expected one line of 1 to {LONGEST_REASON} characters"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_reasons_are_checked() {
        assert!(is_valid_type("a:b/c") && !is_valid_type("a b") && !is_valid_type(""));
        assert_eq!(parse_reason(" x "), Ok("x".to_owned()));
        for text in ["", " ", "a\nb", &"x".repeat(201)] {
            assert!(parse_reason(text).is_err(), "{text:?}");
        }
    }
}

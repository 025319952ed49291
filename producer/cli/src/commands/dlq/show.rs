//! `longshore dlq show`: all of a dead letter.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use longshore_shared::{
    envelope::{Limits, RawMessage, parse},
    id::JobId,
    letter::{Kept, Letter},
};
use serde::Serialize;

use super::{
    absent,
    message::{self, Form},
};
use crate::{
    commands::{
        jobs::remembered_attempts,
        words::{ago, harmless, head, of_ms, time},
    },
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The dead letter
    #[arg(value_parser = JobId::parse)]
    id: JobId,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    letter: &'a Letter,
    /// Since when it lies there, by Redis's clock.
    dead_since: DateTime<Utc>,
    /// What is wrong with its message, if anything is.
    malformed: Option<String>,
    advice: String,
}

/// Reads and prints.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    let Some((died, letter, _)) = broker.dead_letter(arguments.id.as_str()).await? else {
        output::complain(&absent(&arguments.id));
        return Ok(Done::Failure);
    };
    let malformed = malformed(&letter.message, &session.config.limits);
    let shown = Shown {
        dead_since: of_ms(died),
        advice: advice(&letter, malformed.as_deref()),
        malformed,
        letter: &letter,
    };
    match arguments.format {
        Format::Json => output::json(&shown),
        Format::Text => output::line(text(&shown, Utc::now())),
    }
    Ok(Done::Success)
}

/// What is wrong with a message as it stands.
fn malformed(kept: &Kept, limits: &Limits) -> Option<String> {
    let message = RawMessage {
        fields: kept.fields()?,
    };
    parse(&message, limits)
        .err()
        .map(|malformed| malformed.to_string())
}

/// What to do about it.
fn advice(letter: &Letter, malformed: Option<&str>) -> String {
    let id = &letter.record.id;
    let replay = format!("longshore dlq replay {id}");
    if matches!(letter.message, Kept::Head { .. }) {
        return format!(
            "Its message was not kept, so it cannot be replayed as it is. Give it anew: longshore dlq edit {id} --file \
             job.json, then: {replay}"
        );
    }
    if malformed.is_some() {
        let how = match Form::of(&letter.message) {
            Form::Other { job: None, .. } => "--file job.json",
            Form::Other { .. } => "--editor (or --file job.json)",
            _ => "--set FIELD=VALUE (or --editor, or --file job.json)",
        };
        return format!("Put the message right: longshore dlq edit {id} {how}, then: {replay}");
    }
    match letter.record.reason.as_str() {
        "expired" => format!(
            "Its time has passed and would pass again at once. Take the limit away or put it off: longshore dlq edit \
             {id} --set deadline=null --set start_by=null, then: {replay}"
        ),
        "id_conflict" => {
            format!("Give it another id: longshore dlq edit {id} --set id=NEW_ID, then: {replay}")
        }
        _ => format!(
            "Replay it: {replay}. Change it first: longshore dlq edit {id} --set FIELD=VALUE"
        ),
    }
}

fn text(shown: &Shown<'_>, now: DateTime<Utc>) -> String {
    let record = &shown.letter.record;
    let resume = &shown.letter.resume;
    let mut lines: Vec<(&str, String)> = vec![
        ("Dead letter", record.id.to_string()),
        ("Reason", head(&record.reason, 100)),
        ("Error", harmless(&record.error)),
    ];
    let mut add = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    add(
        "Malformed",
        shown
            .malformed
            .as_ref()
            .filter(|malformed| **malformed != record.error)
            .map(|malformed| harmless(malformed)),
    );
    add(
        "Dead since",
        Some(format!(
            "{} ({} ago)",
            time(shown.dead_since),
            ago(shown.dead_since, now)
        )),
    );
    add(
        "Enqueued",
        Some(format!(
            "{} ({} ago)",
            time(resume.enqueued_at),
            ago(resume.enqueued_at, now)
        )),
    );
    add(
        "Queue",
        Some(format!("{} (stood at {})", record.queue, record.place)),
    );
    let label = |text: &Option<String>| text.as_ref().map(|text| head(text, 200));
    add("Type", label(&record.task_type));
    add("Platform", label(&record.platform));
    add("Tenant", label(&record.tenant));
    add("Chain", label(&record.chain_id));
    add("Attempts", Some(attempts(shown.letter)));
    add("Cost", Some(format!("${}", resume.cost)));
    let facts: Vec<String> = lines
        .iter()
        .map(|(name, value)| format!("{name:<12} {value}"))
        .collect();
    let mut parts = vec![facts.join("\n")];
    if !resume.history.is_empty() {
        parts.push(remembered_attempts(&resume.history));
    }
    parts.push(format!(
        "--- Message ---\n{}",
        harmless(&message::shown(&shown.letter.message))
    ));
    parts.push(shown.advice.clone());
    parts.join("\n\n")
}

fn attempts(letter: &Letter) -> String {
    let mut text = letter.record.attempts.to_string();
    for (number, what) in [
        (letter.resume.crashes, "crashed workers"),
        (letter.resume.replays, "replays before"),
    ] {
        if number > 0 {
            let _always = write!(text, ", {number} {what}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::filter::tests::letter, *};

    #[test]
    fn all_of_a_letter_is_shown() {
        let letter = letter("bulk:9-0", &[("job", r#"{"prompt":5}"#)]);
        let malformed = malformed(&letter.message, &Limits::default());
        let shown = Shown {
            advice: advice(&letter, malformed.as_deref()),
            malformed,
            dead_since: letter.record.at,
            letter: &letter,
        };
        insta::assert_snapshot!(text(&shown, "2026-12-01T14:00:00Z".parse().unwrap()), @r#"
        Dead letter  bulk:9-0
        Reason       exhausted
        Error        All platforms failed.
        Malformed    field `prompt`: expected text, but got 5
        Dead since   2026-12-01T12:00:00Z (2h ago)
        Enqueued     2026-12-01T12:00:00Z (2h ago)
        Queue        default (stood at 1-0)
        Type         research
        Platform     sim
        Tenant       acme
        Attempts     3
        Cost         $0

        --- Message ---
        job: {
          "prompt": 5
        }

        Put the message right: longshore dlq edit bulk:9-0 --set FIELD=VALUE (or --editor, or --file job.json), then: longshore dlq replay bulk:9-0
        "#);
    }

    #[test]
    fn advice_is_what_helps() {
        let mut letter = letter("inv-42", &[("prompt", "x")]);
        assert_eq!(
            advice(&letter, None),
            "Replay it: longshore dlq replay inv-42. Change it first: longshore dlq edit inv-42 --set FIELD=VALUE"
        );
        letter.record.reason = "expired".to_owned();
        assert!(advice(&letter, None).contains("--set deadline=null --set start_by=null"));
        letter.message = Kept::head(&[]);
        assert!(advice(&letter, None).contains("edit inv-42 --file job.json"));
    }
}

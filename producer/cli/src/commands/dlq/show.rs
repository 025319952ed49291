//! `longshore dlq show`: all of a dead letter.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use longshore_protocol::{
    dead_letter::{Kept, Letter},
    envelope::{Limits, RawMessage, parse},
    id::JobId,
};
use serde::Serialize;

use super::{
    message::{self, Form},
    unknown_dead_letter,
};
use crate::{
    error::{CommandError, Exit},
    output::{self, Format},
    render::{
        attempts::checkpoint_attempts,
        text::{labelled, one_line, printable},
        time::{from_unix_ms, with_age},
    },
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id of the dead letter
    #[arg(value_parser = JobId::parse)]
    id: JobId,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct DeadLetterDocument<'a> {
    #[serde(flatten)]
    letter: &'a Letter,
    /// Since when it lies there, by Redis's clock.
    dead_since: DateTime<Utc>,
    /// What is wrong with its message, if anything is.
    malformed: Option<String>,
    advice: String,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let broker = session.broker().await?;
    let Some((died, letter, _)) = broker.dead_letters().get(arguments.id.as_str()).await? else {
        output::error(&unknown_dead_letter(&arguments.id));
        return Ok(Exit::Failure);
    };
    let malformed = find_fault(&letter.message, &session.config.limits);
    let shown = DeadLetterDocument {
        dead_since: from_unix_ms(died),
        advice: advice(&letter, malformed.as_deref()),
        malformed,
        letter: &letter,
    };
    arguments
        .format
        .print_with(&shown, || describe_dead_letter(&shown, Utc::now()));
    Ok(Exit::Success)
}

/// The fault of a message.
fn find_fault(kept: &Kept, limits: &Limits) -> Option<String> {
    let message = RawMessage {
        fields: kept.fields()?,
    };
    parse(&message, limits)
        .err()
        .map(|malformed| malformed.to_string())
}

/// What the user can do about it.
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
        let how = match Form::from_kept(&letter.message) {
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

fn describe_dead_letter(shown: &DeadLetterDocument<'_>, now: DateTime<Utc>) -> String {
    let record = &shown.letter.record;
    let resume = &shown.letter.resume;
    let mut lines: Vec<(&str, String)> = vec![
        ("Dead letter", record.id.to_string()),
        ("Reason", one_line(&record.reason, 100)),
        ("Error", printable(&record.error)),
    ];
    let mut add = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    add(
        "Malformed",
        shown
            .malformed
            .as_ref()
            .filter(|malformed| **malformed != record.error)
            .map(|malformed| printable(malformed)),
    );
    add("Dead since", Some(with_age(shown.dead_since, now)));
    add("Enqueued", Some(with_age(resume.enqueued_at, now)));
    add(
        "Queue",
        Some(format!("{} (stood at {})", record.queue, record.place)),
    );
    let label = |text: &Option<String>| text.as_ref().map(|text| one_line(text, 200));
    add("Type", label(&record.task_type));
    add("Platform", label(&record.platform));
    add("Tenant", label(&record.tenant));
    add("Chain", label(&record.chain_id));
    add("Attempts", Some(attempts(shown.letter)));
    add("Cost", Some(format!("${}", resume.cost)));
    let mut parts = vec![labelled(&lines, 12)];
    if !resume.history.is_empty() {
        parts.push(checkpoint_attempts(&resume.history));
    }
    parts.push(format!(
        "--- Message ---\n{}",
        printable(&message::describe_message(&shown.letter.message))
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
    use super::{super::filter::tests::example_letter, *};

    #[test]
    fn all_of_a_letter_is_shown() {
        let letter = example_letter("bulk:9-0", &[("job", r#"{"prompt":5}"#)]);
        let malformed = find_fault(&letter.message, &Limits::default());
        let shown = DeadLetterDocument {
            advice: advice(&letter, malformed.as_deref()),
            malformed,
            dead_since: letter.record.at,
            letter: &letter,
        };
        insta::assert_snapshot!(describe_dead_letter(&shown, "2026-12-01T14:00:00Z".parse().unwrap()), @r#"
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
        let mut letter = example_letter("inv-42", &[("prompt", "x")]);
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

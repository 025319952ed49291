//! `longshore dlq show`: shows a dead letter in full.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use longshore_protocol::{
    chain,
    checkpoint::Checkpoint,
    clock::local_time,
    dead_letter::{DeadLetter, StoredMessage},
    envelope::{MessageLimits, RawMessage, chain_text, parse},
};
use serde::Serialize;

use super::{
    find_dead_letter,
    message::{self, Form},
    parse_id, unknown_dead_letter,
};
use crate::{
    documents::DeadLetterDocument,
    error::{CommandError, Exit},
    output::{self, TableOutput},
    render::{
        attempts::checkpoint_attempts,
        table::Width,
        text::{counted, labelled, one_line, printable},
        time::{from_unix_ms, with_age},
    },
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Job id or entry id of the dead letter
    #[arg(value_parser = parse_id)]
    id: String,
    #[command(flatten)]
    output: TableOutput,
}

/// The document, and what the text describes.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    record: DeadLetterDocument<'a>,
    message: &'a StoredMessage,
    checkpoint: &'a Checkpoint,
    #[serde(skip)]
    dead_letter: &'a DeadLetter,
    /// The time of death by Redis's clock.
    dead_since: DateTime<Utc>,
    /// The fault of its message, if it has one.
    malformed: Option<String>,
    advice: String,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let broker = session.broker().await?;
    let Some((died, dead_letter, _)) = find_dead_letter(&broker, &arguments.id).await? else {
        output::error(&unknown_dead_letter(&arguments.id));
        return Ok(Exit::Failure);
    };
    let malformed = message_fault(&dead_letter.message, &session.config.limits);
    let shown = Shown {
        record: DeadLetterDocument::new(&dead_letter.record),
        message: &dead_letter.message,
        checkpoint: &dead_letter.checkpoint,
        dead_since: from_unix_ms(died),
        advice: advice(&dead_letter, malformed.as_deref()),
        malformed,
        dead_letter: &dead_letter,
    };
    arguments.output.print_with(&shown, |width| {
        describe_dead_letter(&shown, local_time(), width)
    });
    Ok(Exit::Success)
}

/// The fault of a message, if it has one.
fn message_fault(kept: &StoredMessage, limits: &MessageLimits) -> Option<String> {
    let message = RawMessage {
        fields: kept.fields()?,
    };
    if let Some(document) = chain_text(&message, limits) {
        return match document {
            Ok(text) => chain::parse(text, limits).err().map(|bad| bad.to_string()),
            Err(malformed) => Some(malformed.to_string()),
        };
    }
    parse(&message, limits)
        .err()
        .map(|malformed| malformed.to_string())
}

/// What the user can do about the dead letter.
fn advice(dead_letter: &DeadLetter, malformed: Option<&str>) -> String {
    let id = &dead_letter.record.id;
    let replay = format!("longshore dlq replay {id}");
    if matches!(dead_letter.message, StoredMessage::Head { .. }) {
        return format!(
            "The message was not kept in full and cannot be replayed. Replace it: longshore dlq edit {id} --file \
             job.json, then: {replay}"
        );
    }
    if malformed.is_some() {
        let how = match Form::from_kept(&dead_letter.message) {
            Form::Other { job: None, .. } => "--file job.json",
            Form::Other { .. } => "--editor (or --file job.json)",
            _ => "--set FIELD=VALUE (or --editor, or --file job.json)",
        };
        return format!("Fix the message: longshore dlq edit {id} {how}, then: {replay}");
    }
    match dead_letter.record.reason.as_str() {
        "expired" => format!(
            "The job's deadline or start_by has passed. Remove or extend it: longshore dlq edit {id} --set \
             deadline=null --set start_by=null, then: {replay}"
        ),
        "id_conflict" => {
            format!("Use another id: longshore dlq edit {id} --set id=NEW_ID, then: {replay}")
        }
        _ => format!(
            "Replay it: {replay}. To change it first: longshore dlq edit {id} --set FIELD=VALUE"
        ),
    }
}

fn describe_dead_letter(shown: &Shown<'_>, now: DateTime<Utc>, width: Width) -> String {
    let record = &shown.dead_letter.record;
    let checkpoint = &shown.dead_letter.checkpoint;
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
    add("Enqueued", Some(with_age(checkpoint.enqueued_at, now)));
    add(
        "Queue",
        Some(format!("{} (entry {})", record.queue, record.entry_id)),
    );
    let label = |value: &Option<String>| value.as_ref().map(|value| one_line(value, 200));
    add("Type", label(&record.task_type));
    add("Platform", label(&record.platform));
    add("Tenant", label(&record.tenant));
    add("Chain", label(&record.chain_id));
    add("Attempts", Some(describe_attempts(shown.dead_letter)));
    add("Cost", Some(format!("${}", checkpoint.cost)));
    let mut parts = vec![labelled(&lines, 12)];
    if !checkpoint.history.is_empty() {
        parts.push(checkpoint_attempts(&checkpoint.history, width));
    }
    parts.push(format!(
        "--- Message ---\n{}",
        printable(&message::describe_message(&shown.dead_letter.message))
    ));
    parts.push(shown.advice.clone());
    parts.join("\n\n")
}

fn describe_attempts(dead_letter: &DeadLetter) -> String {
    let mut attempts = dead_letter.record.attempts.to_string();
    for (number, event) in [
        (dead_letter.checkpoint.crashes, "crashed worker"),
        (dead_letter.checkpoint.replays, "earlier replay"),
    ] {
        if number > 0 {
            let _always = write!(attempts, ", {}", counted(number, event));
        }
    }
    attempts
}

#[cfg(test)]
mod tests {
    use super::{super::filter::tests::example_dead_letter, *};

    #[test]
    fn a_dead_letter_is_shown_in_full() {
        let dead_letter = example_dead_letter("bulk:9-0", &[("job", r#"{"prompt":5}"#)]);
        let malformed = message_fault(&dead_letter.message, &MessageLimits::default());
        let shown = Shown {
            record: DeadLetterDocument::new(&dead_letter.record),
            message: &dead_letter.message,
            checkpoint: &dead_letter.checkpoint,
            advice: advice(&dead_letter, malformed.as_deref()),
            malformed,
            dead_since: dead_letter.record.at,
            dead_letter: &dead_letter,
        };
        insta::assert_snapshot!(describe_dead_letter(&shown, "2026-12-01T14:00:00Z".parse().unwrap(), Width::of(80)), @r#"
        Dead letter  bulk:9-0
        Reason       exhausted
        Error        All platforms failed.
        Malformed    field `prompt`: expected text, but got 5
        Dead since   2026-12-01T12:00:00Z (2h ago)
        Enqueued     2026-12-01T12:00:00Z (2h ago)
        Queue        default (entry 1-0)
        Type         research
        Platform     sim
        Tenant       acme
        Attempts     3
        Cost         $0

        --- Message ---
        job: {
          "prompt": 5
        }

        Fix the message: longshore dlq edit bulk:9-0 --set FIELD=VALUE (or --editor, or --file job.json), then: longshore dlq replay bulk:9-0
        "#);
        insta::assert_snapshot!(describe_dead_letter(&shown, "2026-12-01T14:00:00Z".parse().unwrap(), Width::of(140)), @r#"
        Dead letter  bulk:9-0
        Reason       exhausted
        Error        All platforms failed.
        Malformed    field `prompt`: expected text, but got 5
        Dead since   2026-12-01T12:00:00Z (2h ago)
        Enqueued     2026-12-01T12:00:00Z (2h ago)
        Queue        default (entry 1-0)
        Type         research
        Platform     sim
        Tenant       acme
        Attempts     3
        Cost         $0

        --- Message ---
        job: {
          "prompt": 5
        }

        Fix the message: longshore dlq edit bulk:9-0 --set FIELD=VALUE (or --editor, or --file job.json), then: longshore dlq replay bulk:9-0
        "#);
    }

    #[test]
    fn the_fault_of_a_chain_is_that_of_its_document() {
        let fault = |document: &str| {
            let dead_letter = example_dead_letter("c-1", &[("chain", document)]);
            message_fault(&dead_letter.message, &MessageLimits::default())
        };
        assert_eq!(fault(r#"{"steps":[{"name":"a","prompt":"x"}]}"#), None);
        let wrong = fault(r#"{"steps":[{"name":"a","prompt":5}]}"#).unwrap();
        assert!(
            wrong.contains("step `a`: field `prompt`: expected text"),
            "{wrong}"
        );
        let wrong = fault("[]").unwrap();
        assert!(!wrong.contains("as the only field"), "{wrong}");
    }

    #[test]
    fn advice_depends_on_the_reason_and_the_message() {
        let mut dead_letter = example_dead_letter("inv-42", &[("prompt", "x")]);
        assert_eq!(
            advice(&dead_letter, None),
            "Replay it: longshore dlq replay inv-42. To change it first: longshore dlq edit inv-42 --set FIELD=VALUE"
        );
        dead_letter.record.reason = "expired".to_owned();
        assert!(advice(&dead_letter, None).contains("--set deadline=null --set start_by=null"));
        dead_letter.message = StoredMessage::head(&[]);
        assert!(advice(&dead_letter, None).contains("edit inv-42 --file job.json"));
    }
}

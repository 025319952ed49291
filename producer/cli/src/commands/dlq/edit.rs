//! `longshore dlq edit`: changes the message of a dead letter.

use longshore_protocol::{
    dead_letter::{DeadLetter, StoredMessage},
    envelope::{Envelope, MessageLimits, RawMessage, parse_all},
};

use super::{
    find_dead_letter,
    message::{self, Fields, Form},
    parse_id, unknown_dead_letter,
};
use crate::{
    audit,
    editor::edit_text,
    error::{CommandError, Exit},
    input::read_text_or_stdin,
    options::Assignment,
    output,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Job id or entry id of the dead letter
    #[arg(value_parser = parse_id)]
    id: String,
    /// Set a field; VALUE is parsed as JSON, else taken as text; null removes the field
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = Assignment::parse, conflicts_with_all = ["file", "editor"])]
    set: Vec<Assignment>,
    /// Replace the whole message with the JSON of this file; `-` reads stdin
    #[arg(long, value_name = "FILE", conflicts_with = "editor")]
    file: Option<std::path::PathBuf>,
    /// Open the message in $VISUAL or $EDITOR (the default without other options)
    #[arg(long)]
    editor: bool,
    /// Save the message even if it is malformed
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let file = arguments.file.as_deref().map(read_text_or_stdin);
    let file = file.transpose()?;
    let file = file.map(|text| message::job_fields(text.trim()));
    let limits = session.config.limits;
    if let Some(fields) = file.clone().filter(|_| !arguments.force) {
        check_message(&RawMessage { fields }, &limits).map_err(CommandError::Input)?;
    }
    let broker = session.broker().await?;
    let id = &arguments.id;
    let Some((_, mut dead_letter, before)) = find_dead_letter(&broker, id).await? else {
        output::error(&unknown_dead_letter(id));
        return Ok(Exit::Failure);
    };
    let form = Form::from_kept(&dead_letter.message);
    let (fields, draft) = if let Some(fields) = file {
        (fields, None)
    } else if arguments.set.is_empty() {
        let (text, draft) = edit_in_editor(&form, id).await?;
        (form.parse_edited_text(&text), Some(draft))
    } else {
        (
            assign_fields(form, &arguments.set).map_err(|why| unchangeable(&why, id))?,
            None,
        )
    };
    if dead_letter.message.fields().as_ref() == Some(&fields) {
        output::line(format_args!("{id}: unchanged"));
        return Ok(Exit::Success);
    }
    if let Err(rejection) = set_message(&mut dead_letter, fields, &limits, arguments.force) {
        let kept = draft.map(keep_draft).transpose()?.unwrap_or_default();
        return Err(CommandError::Input(format!("{rejection}{kept}")));
    }
    let unwritable = |error: &dyn std::error::Error| {
        CommandError::Input(format!("dead letter `{id}` cannot be stored: {error}"))
    };
    let stored = broker.keyring().sealed(&dead_letter);
    let stored = stored.map_err(|error| unwritable(&error))?;
    let after = serde_json::to_string(&*stored).map_err(|error| unwritable(&error))?;
    let entry_id = &dead_letter.record.entry_id;
    let dead_letters = broker.dead_letters();
    if !dead_letters.replace(entry_id, &before, &after).await? {
        let kept = draft.map(keep_draft).transpose()?.unwrap_or_default();
        output::error(&format!(
            "dead letter `{id}` was changed or removed during the edit; nothing was written. Check it: longshore dlq show {id}{kept}"
        ));
        return Ok(Exit::Failure);
    }
    audit::add_affected(1);
    output::line(format_args!(
        "{id}: changed. Replay it: longshore dlq replay {id}"
    ));
    Ok(Exit::Success)
}

fn unchangeable(why: &str, id: &str) -> CommandError {
    CommandError::Input(format!(
        "{why}; its fields cannot be set one by one. Replace the whole message: longshore dlq edit {id} --file \
         job.json"
    ))
}

fn assign_fields(mut form: Form, set: &[Assignment]) -> Result<Fields, String> {
    for Assignment { field, value } in set {
        form.set(field, value)?;
    }
    form.fields()
        .ok_or_else(|| "the message has no fields".to_owned())
}

/// Replaces the message of a dead letter and updates its labels; rejects a malformed message unless forced.
fn set_message(
    dead_letter: &mut DeadLetter,
    fields: Fields,
    limits: &MessageLimits,
    force: bool,
) -> Result<(), String> {
    let message = RawMessage { fields };
    match check_message(&message, limits) {
        Ok(envelope) => update_labels(dead_letter, &envelope),
        Err(malformed) if !force => return Err(malformed),
        Err(_) => {}
    }
    dead_letter.message = StoredMessage::whole(&message.fields);
    Ok(())
}

fn check_message(message: &RawMessage, limits: &MessageLimits) -> Result<Envelope, String> {
    let parsed = parse_all(message, limits).map(|parsed| parsed.envelope);
    parsed.map_err(|malformed| {
        format!(
            "the message would be malformed ({}): {malformed}\nNothing was written. To write it anyway, use --force.",
            malformed.first.code
        )
    })
}

fn update_labels(dead_letter: &mut DeadLetter, envelope: &Envelope) {
    dead_letter.record.task_type = Some(envelope.task_type.clone());
    dead_letter.record.tenant.clone_from(&envelope.tenant);
    dead_letter.record.chain_id.clone_from(&envelope.chain_id);
    // A job with an id of its own was already admitted under it, and its replay must not count as a
    // duplicate. Under a new id it is admitted like any other job.
    dead_letter.checkpoint.admitted = match &envelope.id {
        Some(id) => *id == dead_letter.record.id,
        None => dead_letter.checkpoint.admitted || !dead_letter.record.id.is_server_form(),
    };
}

/// The edited message, and the temporary file that holds it.
async fn edit_in_editor(
    form: &Form,
    id: &str,
) -> Result<(String, tempfile::NamedTempFile), CommandError> {
    let text = match (form.to_editor_text(), form) {
        (Some(text), _) => text,
        (None, Form::Other { why, .. }) => return Err(unchangeable(why, id)),
        (None, _) => String::new(),
    };
    edit_text(
        &text,
        ".json",
        "or use --set FIELD=VALUE or --file job.json",
    )
    .await
}

/// Keeps the edited text; returns a line with its path.
fn keep_draft(draft: tempfile::NamedTempFile) -> Result<String, CommandError> {
    match draft.keep() {
        Ok((_, path)) => Ok(format!("\nYour text is saved in {}.", path.display())),
        Err(error) => Err(CommandError::io("cannot keep the edited text")(error.error)),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::filter::tests::example_dead_letter, *};

    fn set(dead_letter: &mut DeadLetter, assignments: &[&str], force: bool) -> Result<(), String> {
        let set: Vec<_> = assignments
            .iter()
            .map(|assignment| Assignment::parse(assignment).unwrap())
            .collect();
        let fields = assign_fields(Form::from_kept(&dead_letter.message), &set)?;
        set_message(dead_letter, fields, &MessageLimits::default(), force)
    }

    #[test]
    fn a_value_that_is_not_json_is_text() {
        let value = |text| Assignment::parse(text).unwrap().value.get().to_owned();
        assert_eq!(value("timeout=60"), "60");
        assert_eq!(value("prompt=Name three colours"), "\"Name three colours\"");
        assert_eq!(value("prompt=a=b"), "\"a=b\"");
        assert_eq!(value("prompt=\"60\""), "\"60\"");
        assert_eq!(value("prompt="), "\"\"");
        assert_eq!(value("metadata={\"a\": [1]}"), "{\"a\": [1]}");
        for wrong in ["prompt", "=5"] {
            assert!(
                Assignment::parse(wrong)
                    .unwrap_err()
                    .starts_with("expected FIELD=VALUE"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn an_edit_updates_the_labels() {
        let mut dead_letter = example_dead_letter("7-0", &[("job", r#"{"prompt":5}"#)]);
        set(
            &mut dead_letter,
            &["prompt=five", "type=planning", "tenant=null"],
            false,
        )
        .unwrap();
        assert_eq!(dead_letter.record.task_type.as_deref(), Some("planning"));
        assert_eq!(dead_letter.record.tenant, None);
        assert_eq!(
            dead_letter.message,
            StoredMessage::Text(vec![(
                "job".to_owned(),
                r#"{"prompt":"five","type":"planning"}"#.to_owned()
            )])
        );
    }

    #[test]
    fn a_malformed_message_is_rejected_unless_forced() {
        let mut dead_letter = example_dead_letter("7-0", &[("job", r#"{"prompt":"x"}"#)]);
        let before = dead_letter.clone();
        let error = set(&mut dead_letter, &["timeout=never"], false).unwrap_err();
        assert!(
            error.starts_with(
                "the message would be malformed (bad_value): field `timeout`: expected seconds"
            ),
            "{error}"
        );
        assert_eq!(dead_letter, before);
        set(&mut dead_letter, &["timeout=never"], true).unwrap();
        assert_ne!(dead_letter, before);
    }

    #[test]
    fn only_a_new_id_is_admitted_again() {
        let mut conflict =
            example_dead_letter("7-0", &[("job", r#"{"id":"inv-42","prompt":"x"}"#)]);
        set(&mut conflict, &["id=inv-43"], false).unwrap();
        assert!(!conflict.checkpoint.admitted);

        let mut own = example_dead_letter("inv-42", &[("job", r#"{"id":"inv-42","prompt":"x"}"#)]);
        own.checkpoint.admitted = true;
        set(&mut own, &["prompt=y"], false).unwrap();
        assert!(own.checkpoint.admitted);
        set(&mut own, &["id=inv-43"], false).unwrap();
        assert!(!own.checkpoint.admitted);
        set(&mut own, &["id=inv-42"], false).unwrap();
        assert!(own.checkpoint.admitted);
    }
}

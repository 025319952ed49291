//! The message of a dead letter in the forms that people read and edit.

use std::fmt::Write as _;

use longshore_protocol::dead_letter::StoredMessage;
use serde_json::value::RawValue;

use super::fields::Members;

/// Bytes shown as hex of a value that is not UTF-8.
const HEX_HEAD: usize = 64;

/// The fields of a message, byte for byte.
pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// How a message was sent.
#[derive(Debug)]
pub(super) enum Form {
    /// One JSON object in the field `job`.
    Json(Members),
    /// Flat fields of text.
    Flat(Vec<(String, String)>),
    /// Neither, so its fields cannot be set one by one.
    Other {
        /// Why not.
        why: String,
        /// The content of `job`, if the message has no other field.
        job: Option<String>,
    },
}

impl Form {
    pub(super) fn from_kept(kept: &StoredMessage) -> Self {
        let other = |why: String, job: Option<&String>| Self::Other {
            why,
            job: job.cloned(),
        };
        match kept {
            StoredMessage::Head { length, .. } => other(
                format!(
                    "only the start of the message was kept because it was too large ({length} bytes)"
                ),
                None,
            ),
            StoredMessage::Base64(_) => other("the message is not UTF-8".to_owned(), None),
            StoredMessage::Text(fields) => match fields.as_slice() {
                [(name, job)] if name == "job" => match serde_json::from_str(job) {
                    Ok(members) => Self::Json(members),
                    Err(error) => other(
                        format!("the message's `job` is not a JSON object: {error}"),
                        Some(job),
                    ),
                },
                fields if fields.iter().any(|(name, _)| name == "job") => {
                    other("the message has `job` and other fields".to_owned(), None)
                }
                fields => Self::Flat(fields.to_vec()),
            },
        }
    }

    /// Sets one field to a JSON value; null removes the field.
    pub(super) fn set(&mut self, name: &str, value: &RawValue) -> Result<(), String> {
        match self {
            Self::Other { why, .. } => return Err(why.clone()),
            Self::Json(members) => members.set(name, value),
            Self::Flat(fields) => {
                let at = fields.iter().position(|(known, _)| known == name);
                fields.retain(|(known, _)| known != name);
                if value.get() != "null" {
                    let at = at.unwrap_or(fields.len()).min(fields.len());
                    fields.insert(at, (name.to_owned(), to_flat_value(value)));
                }
            }
        }
        Ok(())
    }

    /// The message as it is sent.
    pub(super) fn fields(&self) -> Option<Fields> {
        match self {
            Self::Json(members) => Some(job_fields(&members.compact())),
            Self::Flat(fields) => Some(
                fields
                    .iter()
                    .map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()))
                    .collect(),
            ),
            Self::Other { .. } => None,
        }
    }

    /// The text for the editor: one member per line, values unchanged.
    pub(super) fn to_editor_text(&self) -> Option<String> {
        match self {
            Self::Json(members) => Some(members.lines()),
            Self::Flat(fields) => Some(Members::from_texts(fields).lines()),
            Self::Other { job, .. } => job.clone(),
        }
    }

    /// The message from the edited text, in its original form.
    pub(super) fn parse_edited_text(&self, text: &str) -> Fields {
        match (self, serde_json::from_str::<Members>(text)) {
            (Self::Flat(_), Ok(members)) => members
                .0
                .iter()
                .map(|(name, value)| (name.clone().into_bytes(), to_flat_value(value).into_bytes()))
                .collect(),
            (Self::Json(_), Ok(members)) => job_fields(&members.compact()),
            // The check that follows rejects text that is not JSON, with line and column.
            _ => job_fields(text.trim()),
        }
    }
}

/// A message whose envelope is this JSON.
pub(super) fn job_fields(json: &str) -> Fields {
    vec![(b"job".to_vec(), json.as_bytes().to_vec())]
}

/// A JSON value as the value of a flat field: strings without quotes.
fn to_flat_value(value: &RawValue) -> String {
    serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

/// A message as text for people.
pub(super) fn describe_message(kept: &StoredMessage) -> String {
    match kept {
        StoredMessage::Text(fields) => fields
            .iter()
            .map(|(name, value)| format!("{}: {}", name.escape_debug(), pretty(value)))
            .collect::<Vec<_>>()
            .join("\n"),
        StoredMessage::Base64(_) => kept
            .fields()
            .unwrap_or_default()
            .iter()
            .map(|(name, value)| format!("{}: {}", describe_bytes(name), describe_bytes(value)))
            .collect::<Vec<_>>()
            .join("\n"),
        StoredMessage::Head {
            head,
            length,
            sha256,
        } => {
            let head = StoredMessage::Base64(head.clone());
            format!(
                "{}\n(only the start: the message had {length} bytes, SHA-256 {sha256})",
                describe_message(&head)
            )
        }
    }
}

/// Indented JSON; other text unchanged.
fn pretty(text: &str) -> String {
    if !text.trim_start().starts_with(['{', '[']) {
        return text.to_owned();
    }
    serde_json::from_str::<serde_json::Value>(text)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| text.to_owned())
}

/// UTF-8 as text, other bytes as hex.
fn describe_bytes(value: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(value) {
        return text.to_owned();
    }
    let mut text = String::new();
    for byte in value.iter().take(HEX_HEAD) {
        let _always = write!(text, "{byte:02x} ");
    }
    let more = if value.len() > HEX_HEAD { "… " } else { "" };
    format!(
        "{text}{more}(hex; {} bytes that are not UTF-8)",
        value.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_text(fields: &[(&str, &str)]) -> StoredMessage {
        StoredMessage::Text(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn text_fields(form: &Form) -> Vec<(String, String)> {
        let to_text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        form.fields()
            .unwrap()
            .into_iter()
            .map(|(name, value)| (to_text(name), to_text(value)))
            .collect()
    }

    #[test]
    fn setting_fields_of_an_envelope_leaves_the_others_unchanged() {
        let mut form = Form::from_kept(&kept_text(&[(
            "job",
            r#"{"prompt": 5, "seed": 18446744073709551617, "x":1.0}"#,
        )]));
        form.set("prompt", &raw("\"five\"")).unwrap();
        form.set("temperature", &raw("0.2")).unwrap();
        form.set("x", &raw("null")).unwrap();
        let job = r#"{"prompt":"five","seed":18446744073709551617,"temperature":0.2}"#;
        assert_eq!(text_fields(&form), [("job".to_owned(), job.to_owned())]);
    }

    #[test]
    fn flat_fields_stay_flat_and_keep_their_order() {
        let mut form = Form::from_kept(&kept_text(&[
            ("type", "research"),
            ("prompt", "a"),
            ("reply", "no"),
        ]));
        form.set("prompt", &raw("\"b \\\"c\\\"\"")).unwrap();
        form.set("reply", &raw("true")).unwrap();
        form.set("type", &raw("null")).unwrap();
        form.set("metadata", &raw(r#"{"a":1}"#)).unwrap();
        let pairs = [
            ("prompt", "b \"c\""),
            ("reply", "true"),
            ("metadata", r#"{"a":1}"#),
        ];
        assert_eq!(
            text_fields(&form),
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn a_message_without_settable_fields_has_a_reason() {
        let broken = Form::from_kept(&kept_text(&[("job", "{\"prompt\":")]))
            .set("prompt", &raw("1"))
            .unwrap_err();
        assert!(
            broken.starts_with("the message's `job` is not a JSON object: EOF"),
            "{broken}"
        );
        let both = Form::from_kept(&kept_text(&[("job", "{}"), ("type", "x")]))
            .set("prompt", &raw("1"))
            .unwrap_err();
        assert_eq!(both, "the message has `job` and other fields");
        let broken = Form::from_kept(&kept_text(&[("job", "{oops")]));
        assert_eq!(broken.to_editor_text().unwrap(), "{oops");
        assert_eq!(
            broken.parse_edited_text("{\"prompt\": 1}\n"),
            job_fields("{\"prompt\": 1}")
        );
        let head = Form::from_kept(&StoredMessage::head(&[(b"job".to_vec(), vec![b'x'; 9000])]));
        assert!(head.to_editor_text().is_none() && head.fields().is_none());
    }

    #[test]
    fn an_unedited_message_survives_the_editor() {
        let form = Form::from_kept(&kept_text(&[(
            "job",
            r#"{"prompt":"a","metadata":{"n":1e400}}"#,
        )]));
        let editor = form.to_editor_text().unwrap();
        assert_eq!(
            editor,
            "{\n  \"prompt\": \"a\",\n  \"metadata\": {\"n\":1e400}\n}\n"
        );
        assert_eq!(form.parse_edited_text(&editor), form.fields().unwrap());
        let flat = Form::from_kept(&kept_text(&[("prompt", "a\nb"), ("timeout", "5")]));
        let editor = flat.to_editor_text().unwrap();
        assert_eq!(
            editor,
            "{\n  \"prompt\": \"a\\nb\",\n  \"timeout\": \"5\"\n}\n"
        );
        assert_eq!(flat.parse_edited_text(&editor), flat.fields().unwrap());
        assert_eq!(form.parse_edited_text("{oops"), job_fields("{oops"));
    }

    #[test]
    fn unreadable_parts_of_a_message_are_described() {
        let json = describe_message(&kept_text(&[("job", r#"{"prompt":"a"}"#)]));
        assert_eq!(json, "job: {\n  \"prompt\": \"a\"\n}");
        assert_eq!(
            describe_message(&kept_text(&[("prompt", "[not json")])),
            "prompt: [not json"
        );
        let raw = describe_message(&StoredMessage::whole(&[(
            b"job".to_vec(),
            vec![0, 159, 146],
        )]));
        assert_eq!(raw, "job: 00 9f 92 (hex; 3 bytes that are not UTF-8)");
        let head = describe_message(&StoredMessage::head(&[(
            b"prompt".to_vec(),
            b"abc".to_vec(),
        )]));
        assert!(
            head.starts_with("prompt: abc\n(only the start: the message had 9 bytes, SHA-256 "),
            "{head}"
        );
    }
}

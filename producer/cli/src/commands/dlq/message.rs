//! A dead letter's message in the forms that people read and change.

use std::fmt::Write as _;

use longshore_shared::letter::Kept;
use serde_json::value::RawValue;

use super::fields::Members;

/// Characters of bytes that are not text, shown as hex.
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
    /// Neither, so that single fields of it cannot be changed.
    Other {
        /// Why not.
        why: String,
        /// The text of `job`, if that is all there is.
        job: Option<String>,
    },
}

impl Form {
    pub(super) fn from_kept(kept: &Kept) -> Self {
        let other = |why: String, job: Option<&String>| Self::Other {
            why,
            job: job.cloned(),
        };
        match kept {
            Kept::Head { length, .. } => other(
                format!(
                    "only the head of the message was kept, because it was too large ({length} bytes)"
                ),
                None,
            ),
            Kept::Base64(_) => other("the message is not UTF-8".to_owned(), None),
            Kept::Text(fields) => match fields.as_slice() {
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

    /// The message with one field set to a JSON value; null takes the field away.
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

    /// What an editor is given: one member a line, their values as they are.
    pub(super) fn for_editor(&self) -> Option<String> {
        match self {
            Self::Json(members) => Some(members.lines()),
            Self::Flat(fields) => Some(Members::from_texts(fields).lines()),
            Self::Other { job, .. } => job.clone(),
        }
    }

    /// What came back from the editor, in the form that the message had.
    pub(super) fn back_from_editor(&self, text: &str) -> Fields {
        match (self, serde_json::from_str::<Members>(text)) {
            (Self::Flat(_), Ok(members)) => members
                .0
                .iter()
                .map(|(name, value)| (name.clone().into_bytes(), to_flat_value(value).into_bytes()))
                .collect(),
            (Self::Json(_), Ok(members)) => job_fields(&members.compact()),
            // What is not JSON is refused by who checks it, with the exact place.
            _ => job_fields(text.trim()),
        }
    }
}

/// A message whose envelope is this JSON.
pub(super) fn job_fields(json: &str) -> Fields {
    vec![(b"job".to_vec(), json.as_bytes().to_vec())]
}

/// A JSON value as a flat field has it: text without quotes.
fn to_flat_value(value: &RawValue) -> String {
    serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

/// A message as people read it.
pub(super) fn describe_message(kept: &Kept) -> String {
    match kept {
        Kept::Text(fields) => fields
            .iter()
            .map(|(name, value)| format!("{}: {}", name.escape_debug(), pretty(value)))
            .collect::<Vec<_>>()
            .join("\n"),
        Kept::Base64(_) => kept
            .fields()
            .unwrap_or_default()
            .iter()
            .map(|(name, value)| format!("{}: {}", describe_bytes(name), describe_bytes(value)))
            .collect::<Vec<_>>()
            .join("\n"),
        Kept::Head {
            head,
            length,
            sha256,
        } => {
            let head = Kept::Base64(head.clone());
            format!(
                "{}\n(only the head: the message had {length} bytes, SHA-256 {sha256})",
                describe_message(&head)
            )
        }
    }
}

/// JSON with its lines apart; other text as it is.
fn pretty(text: &str) -> String {
    if !text.trim_start().starts_with(['{', '[']) {
        return text.to_owned();
    }
    serde_json::from_str::<serde_json::Value>(text)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| text.to_owned())
}

/// Bytes that may be text.
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

    fn kept_text(fields: &[(&str, &str)]) -> Kept {
        Kept::Text(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn sent(form: &Form) -> Vec<(String, String)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        form.fields()
            .unwrap()
            .into_iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    #[test]
    fn fields_of_an_envelope_change_and_the_rest_stays_to_the_byte() {
        let mut form = Form::from_kept(&kept_text(&[(
            "job",
            r#"{"prompt": 5, "seed": 18446744073709551617, "x":1.0}"#,
        )]));
        form.set("prompt", &raw("\"five\"")).unwrap();
        form.set("temperature", &raw("0.2")).unwrap();
        form.set("x", &raw("null")).unwrap();
        let job = r#"{"prompt":"five","seed":18446744073709551617,"temperature":0.2}"#;
        assert_eq!(sent(&form), [("job".to_owned(), job.to_owned())]);
    }

    #[test]
    fn flat_fields_stay_flat_and_in_their_order() {
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
            sent(&form),
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn what_cannot_be_changed_field_by_field_says_why() {
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
        assert_eq!(broken.for_editor().unwrap(), "{oops");
        assert_eq!(
            broken.back_from_editor("{\"prompt\": 1}\n"),
            job_fields("{\"prompt\": 1}")
        );
        let head = Form::from_kept(&Kept::head(&[(b"job".to_vec(), vec![b'x'; 9000])]));
        assert!(head.for_editor().is_none() && head.fields().is_none());
    }

    #[test]
    fn an_editor_gets_a_member_a_line_and_gives_the_same_form_back() {
        let form = Form::from_kept(&kept_text(&[(
            "job",
            r#"{"prompt":"a","metadata":{"n":1e400}}"#,
        )]));
        let editor = form.for_editor().unwrap();
        assert_eq!(
            editor,
            "{\n  \"prompt\": \"a\",\n  \"metadata\": {\"n\":1e400}\n}\n"
        );
        assert_eq!(form.back_from_editor(&editor), form.fields().unwrap());
        let flat = Form::from_kept(&kept_text(&[("prompt", "a\nb"), ("timeout", "5")]));
        let editor = flat.for_editor().unwrap();
        assert_eq!(
            editor,
            "{\n  \"prompt\": \"a\\nb\",\n  \"timeout\": \"5\"\n}\n"
        );
        assert_eq!(flat.back_from_editor(&editor), flat.fields().unwrap());
        assert_eq!(form.back_from_editor("{oops"), job_fields("{oops"));
    }

    #[test]
    fn messages_are_shown_as_far_as_they_can_be_read() {
        let json = describe_message(&kept_text(&[("job", r#"{"prompt":"a"}"#)]));
        assert_eq!(json, "job: {\n  \"prompt\": \"a\"\n}");
        assert_eq!(
            describe_message(&kept_text(&[("prompt", "[not json")])),
            "prompt: [not json"
        );
        let raw = describe_message(&Kept::whole(&[(b"job".to_vec(), vec![0, 159, 146])]));
        assert_eq!(raw, "job: 00 9f 92 (hex; 3 bytes that are not UTF-8)");
        let head = describe_message(&Kept::head(&[(b"prompt".to_vec(), b"abc".to_vec())]));
        assert!(
            head.starts_with("prompt: abc\n(only the head: the message had 9 bytes, SHA-256 "),
            "{head}"
        );
    }
}

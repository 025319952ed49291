//! Answers on stdout, everything else on stderr.

use std::{
    fmt,
    io::{self, BufWriter, Write as _},
};

use serde::Serialize;
use serde_json::Value;

/// The form of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

impl Format {
    /// Prints a document that is its own text.
    pub(crate) fn print(self, document: &(impl Serialize + fmt::Display)) {
        self.print_with(document, || document.to_string());
    }

    /// Prints a document as JSON, or the text that describes it.
    pub(crate) fn print_with(self, document: &impl Serialize, text: impl FnOnce() -> String) {
        match self {
            Self::Text => line(text()),
            Self::Json => json(document),
        }
    }

    /// Prints what precedes the answer: with JSON it goes to stderr.
    pub(crate) fn announce(self, text: impl fmt::Display) {
        match self {
            Self::Text => line(text),
            Self::Json => note(text),
        }
    }
}

/// A line on stdout. A reader that went away (`| head`) is no error.
pub(crate) fn line(text: impl fmt::Display) {
    let _gone = writeln!(io::stdout(), "{text}");
}

/// A line on stderr.
pub(crate) fn note(text: impl fmt::Display) {
    let _gone = writeln!(io::stderr(), "{text}");
}

pub(crate) fn warning(text: impl fmt::Display) {
    note(format_args!("Warning: {text}"));
}

pub(crate) fn warnings(texts: &[String]) {
    texts.iter().for_each(warning);
}

pub(crate) fn error(error: &impl fmt::Display) {
    note(format_args!("Error: {error}"));
}

/// A JSON document on stdout, written as it is serialized: it may be larger than the memory.
pub(crate) fn json(document: &impl Serialize) {
    let mut stdout = BufWriter::new(io::stdout().lock());
    match write_json(&mut stdout, document) {
        Err(failed) if failed.kind() != io::ErrorKind::BrokenPipe => error(&failed),
        _ => {}
    }
}

/// Writes an indented JSON document and a line break.
pub(crate) fn write_json(to: &mut impl io::Write, document: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, document)?;
    to.write_all(b"\n")?;
    to.flush()
}

/// A document whose `labels` objects are merged into the objects that hold them.
pub(crate) fn with_flat_labels(document: &impl Serialize) -> Value {
    // Our own records always have a JSON form.
    let mut value = serde_json::to_value(document).unwrap_or_default();
    flatten_labels(&mut value);
    value
}

fn flatten_labels(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(flatten_labels),
        Value::Object(fields) => {
            if let Some(Value::Object(labels)) = fields.remove("labels") {
                fields.extend(labels);
            }
            // The producer's own object stays as it is.
            let ours = fields.iter_mut().filter(|(name, _)| *name != "metadata");
            ours.for_each(|(_, value)| flatten_labels(value));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_stand_beside_the_rest_and_metadata_stays() {
        let record = json!([{"labels": {"job_id": "a"}, "state": "completed", "metadata": {"labels": {"b": 1}}}]);
        let expected =
            json!([{"job_id": "a", "state": "completed", "metadata": {"labels": {"b": 1}}}]);
        assert_eq!(with_flat_labels(&record), expected);
    }
}

//! A JSON list of tasks, read one element at a time.

use std::{fmt, io::BufRead, ops::ControlFlow};

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::{error::Category, value::RawValue};

use super::{OnTask, ReadError, Task};

/// A visitor that passes each element to `on_task`.
struct Elements<'e, 'f> {
    on_task: &'e mut OnTask<'f>,
    count: &'e mut u64,
    stopped: &'e mut bool,
}

pub(super) fn read(
    mut reader: impl BufRead,
    one: bool,
    on_task: &mut OnTask<'_>,
) -> Result<(), ReadError> {
    let Some(first) = peek(&mut reader)? else {
        let expected = "expected a JSON list of tasks, but the input is empty";
        return Err(ReadError::format(expected));
    };
    let mut from = serde_json::Deserializer::from_reader(reader);
    if first == b'{' && one {
        let task: Box<RawValue> = serde::Deserialize::deserialize(&mut from).map_err(not_json)?;
        from.end().map_err(not_json)?;
        let _last = on_task(element(&task));
        return Ok(());
    }
    if first != b'[' {
        let hint = if first == b'{' {
            "; for one task per line, add --input-format jsonl"
        } else {
            ""
        };
        let expected = r#"expected a JSON list of tasks: [{"prompt": "…"}, …]"#;
        return Err(ReadError::format(format!("{expected}{hint}")));
    }
    let (mut count, mut stopped) = (0, false);
    let elements = Elements {
        on_task,
        count: &mut count,
        stopped: &mut stopped,
    };
    let read = elements.deserialize(&mut from).and_then(|()| from.end());
    if stopped {
        return Ok(());
    }
    read.map_err(not_json)?;
    if count == 0 {
        let expected = "expected at least one task, but the list is empty";
        return Err(ReadError::format(expected));
    }
    Ok(())
}

/// Returns the first byte that is not white space. Line numbers of errors do not count the lines skipped here.
fn peek(reader: &mut impl BufRead) -> Result<Option<u8>, ReadError> {
    loop {
        let bytes = reader.fill_buf()?;
        if let Some(first) = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            return Ok(Some(*first));
        }
        let count = bytes.len();
        if count == 0 {
            return Ok(None);
        }
        reader.consume(count);
    }
}

/// A task of the list. The parser does not tell the line of a raw value.
fn element(task: &RawValue) -> Task<'_> {
    Task {
        line: None,
        json: Ok(task.get()),
    }
}

fn not_json(error: serde_json::Error) -> ReadError {
    if error.classify() == Category::Io {
        return ReadError::Io(error.into());
    }
    ReadError::format(format!("not JSON: {error}"))
}

impl<'de> DeserializeSeed<'de> for Elements<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tasks")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(task) = list.next_element::<Box<RawValue>>()? {
            *self.count += 1;
            if let ControlFlow::Break(()) = (self.on_task)(element(&task)) {
                *self.stopped = true;
                return Err(A::Error::custom("stopped by the callback"));
            }
        }
        Ok(())
    }
}

//! JSON Lines: one task per line.

use std::io::{BufRead, Read as _};

use super::{OnTask, ReadError, Task};

/// Maximum bytes of a line; no configuration allows a longer message.
const LONGEST: usize = 64 << 20;

pub(super) fn read(mut reader: impl BufRead, on_task: &mut OnTask<'_>) -> Result<(), ReadError> {
    let (mut line, mut number, mut count) = (Vec::new(), 0_u64, 0_u64);
    loop {
        line.clear();
        let read = (&mut reader)
            .take(LONGEST as u64)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        number += 1;
        if read == LONGEST {
            return Err(ReadError::format(format!(
                "line {number}: expected one task per line, but the line is longer than {LONGEST} bytes"
            )));
        }
        let task = line.trim_ascii();
        if task.is_empty() {
            continue;
        }
        count += 1;
        let json = std::str::from_utf8(task).map_err(|error| {
            format!(
                "expected UTF-8, but got an invalid byte at offset {}",
                error.valid_up_to()
            )
        });
        let line = Some(number);
        if on_task(Task { line, json }).is_break() {
            return Ok(());
        }
    }
    if count == 0 {
        let expected =
            r#"expected one task per line, such as {"prompt": "…"}, but the input is empty"#;
        return Err(ReadError::format(expected));
    }
    Ok(())
}

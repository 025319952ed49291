//! What one text may cost: the bytes that its filters and tests read, and the time that it takes.
//!
//! Fuel counts operations, and one operation may read megabytes: a loop of `text | upper` takes minutes.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use minijinja::{Error, ErrorKind, Value};

/// The most bytes that the filters and tests of one text read together: about a second.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// The longest time that a text may take.
const LONGEST: Duration = Duration::from_secs(5);

/// How deep the size of a value is measured.
const DEPTH: usize = 8;

/// What is left of the limits.
#[derive(Debug, Clone, Copy)]
struct Left {
    bytes: u64,
    until: Option<Instant>,
}

thread_local! {
    /// The limits of the text that this thread works on.
    static LEFT: Cell<Left> = const { Cell::new(Left { bytes: 0, until: None }) };
}

/// Works on one text within the limits.
pub(super) fn limited<T>(work: impl FnOnce() -> T) -> T {
    LEFT.set(Left {
        bytes: MOST_BYTES,
        until: Instant::now().checked_add(LONGEST),
    });
    work()
}

/// Fails if the time is over.
fn check_time() -> Result<(), Error> {
    if LEFT.get().until.is_some_and(|until| Instant::now() > until) {
        let seconds = LONGEST.as_secs();
        return Err(exceeded(format!("this text takes longer than {seconds} s")));
    }
    Ok(())
}

/// Filters that compare their items with each other.
const SORTING: &[&str] = &["sort", "unique", "dictsort", "groupby"];

/// Takes the size of the arguments of a filter or test from what is left.
pub(super) fn charge(name: &str, arguments: &[Value]) -> Result<(), Error> {
    check_time()?;
    let left = LEFT.get();
    let mut bytes = 0;
    for argument in arguments {
        let size = size(argument, left.bytes, DEPTH);
        let items = argument.len().filter(|_| SORTING.contains(&name));
        let comparisons = u64::from(items.unwrap_or(1).max(2).ilog2());
        bytes = size.saturating_mul(comparisons).saturating_add(bytes);
    }
    let Some(rest) = left.bytes.checked_sub(bytes) else {
        let megabytes = MOST_BYTES >> 20;
        return Err(exceeded(format!(
            "the filters and tests of this text read more than {megabytes} MiB"
        )));
    };
    LEFT.set(Left {
        bytes: rest,
        ..left
    });
    Ok(())
}

/// The bytes of a value, measured until there are more than `most`.
fn size(value: &Value, most: u64, depth: usize) -> u64 {
    if let Some(text) = value.as_str() {
        return text.len() as u64;
    }
    // A value that can be iterated only once has no length.
    let (Some(_), Some(depth)) = (value.len(), depth.checked_sub(1)) else {
        return 1;
    };
    let Ok(items) = value.try_iter() else {
        return 1;
    };
    let mut bytes = 0_u64;
    for item in items {
        if bytes > most {
            break;
        }
        // The items of a map are its keys.
        let of_key = value
            .get_item(&item)
            .ok()
            .filter(|_| value.as_object().is_some());
        let item = of_key.filter(|item| !item.is_undefined()).unwrap_or(item);
        bytes = bytes
            .saturating_add(1)
            .saturating_add(size(&item, most, depth));
    }
    bytes
}

fn exceeded(words: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, words)
}

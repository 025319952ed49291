//! The errors of a chain document.

use std::fmt;

use crate::envelope::{Malformed, MalformedCode};

/// Why a document is not a valid chain: all of its errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(&self.faults))]
pub struct BadChain {
    pub faults: Vec<ChainFault>,
}

/// An error of a chain document. Displays where it is and what is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainFault {
    /// The number of the step with the error, from 1, if it is in one.
    pub step: Option<usize>,
    /// The field of the step or of the chain with the error, if it is in one.
    pub field: Option<String>,
    /// Where the error is, and what is expected.
    pub message: String,
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn lines(faults: &[ChainFault]) -> String {
    let lines: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
    lines.join("\n")
}

impl From<BadChain> for Malformed {
    fn from(bad: BadChain) -> Self {
        Self::new(MalformedCode::BadChain, "chain", bad.to_string())
    }
}

/// A place in a document, as errors name it: the chain itself, a step, or a field of one.
#[derive(Debug, Clone, Default)]
pub(super) struct Location {
    step: Option<usize>,
    text: String,
}

impl Location {
    /// The chain itself.
    pub(super) fn chain() -> Self {
        Self::default()
    }

    /// A step, by its number from 1 and its name in errors.
    pub(super) fn step(number: usize, text: String) -> Self {
        Self {
            step: Some(number),
            text,
        }
    }

    /// A part of this place.
    pub(super) fn within(&self, part: &str) -> Self {
        Self {
            step: self.step,
            text: if self.text.is_empty() {
                part.to_owned()
            } else {
                format!("{}: {part}", self.text)
            },
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The errors found so far.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<ChainFault>);

impl Faults {
    /// Adds an error at `location`. An error in a field begins with it: ``field `needs`: …``.
    pub(super) fn add(&mut self, location: &Location, words: impl fmt::Display) {
        let message = location.within(&words.to_string()).text;
        self.0.push(ChainFault {
            step: location.step,
            field: field_of(&message).map(str::to_owned),
            message,
        });
    }

    /// The value, or `None` after adding the error.
    pub(super) fn kept<T>(
        &mut self,
        location: &Location,
        read: Result<Option<T>, Malformed>,
    ) -> Option<T> {
        read.unwrap_or_else(|wrong| {
            self.add(location, wrong);
            None
        })
    }

    /// Adds the errors that were found apart.
    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// How many errors were found.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The document if no error was found.
    pub(super) fn into_result<T>(self, document: Option<T>) -> Result<T, BadChain> {
        document
            .filter(|_| self.0.is_empty())
            .ok_or(BadChain { faults: self.0 })
    }
}

/// The first field that a message names as the place of the error.
fn field_of(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("field `")?;
    let (field, _) = rest.split_once('`')?;
    Some(field)
}

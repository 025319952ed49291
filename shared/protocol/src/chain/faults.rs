//! The errors of a chain document.

use crate::envelope::{Malformed, MalformedCode};

/// Why a document is not a valid chain: all of its errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.faults.join("\n"))]
pub struct BadChain {
    /// Each error states where it is and what is expected.
    pub faults: Vec<String>,
}

impl From<BadChain> for Malformed {
    fn from(bad: BadChain) -> Self {
        Self::new(MalformedCode::BadChain, "chain", bad.to_string())
    }
}

/// The errors found so far.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    /// Adds an error at `location`: a step, or the chain itself if empty.
    pub(super) fn add(&mut self, location: &str, words: impl std::fmt::Display) {
        self.0.push(if location.is_empty() {
            words.to_string()
        } else {
            format!("{location}: {words}")
        });
    }

    /// The value, or `None` after adding the error.
    pub(super) fn kept<T>(
        &mut self,
        location: &str,
        read: Result<Option<T>, Malformed>,
    ) -> Option<T> {
        read.unwrap_or_else(|wrong| {
            self.add(location, wrong);
            None
        })
    }

    /// The document if no error was found.
    pub(super) fn into_result<T>(self, document: Option<T>) -> Result<T, BadChain> {
        document
            .filter(|_| self.0.is_empty())
            .ok_or(BadChain { faults: self.0 })
    }
}

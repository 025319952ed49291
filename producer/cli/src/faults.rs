//! The faults of a file that a user wrote: all at once, and of very many the first.

use std::fmt;

use longshore_settings::MOST_SHOWN;

use crate::error::CommandError;

/// Faults, one per line. Displays the first of very many, and how many more there are.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    shown: Vec<String>,
    more: u64,
}

impl Faults {
    /// Adds a fault.
    pub(crate) fn add(&mut self, fault: impl fmt::Display) {
        if self.shown.len() < MOST_SHOWN {
            self.shown.push(fault.to_string());
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// An error if there is any fault.
    pub(crate) fn into_result(self) -> Result<(), CommandError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(CommandError::Input(self.to_string()))
        }
    }
}

impl<T: fmt::Display> Extend<T> for Faults {
    fn extend<I: IntoIterator<Item = T>>(&mut self, faults: I) {
        for fault in faults {
            self.add(fault);
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown.join("\n"))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}

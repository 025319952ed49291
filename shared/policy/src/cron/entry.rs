//! A recurring job as Redis keeps it.

use longshore_protocol::string_enum;
use serde::{Deserialize, Serialize};

use super::{Definition, Written, Wrong};

string_enum! {
    /// Who said that a job is to recur.
    Source {
        /// The configuration.
        Config = "config",
        /// A person, by `longshore cron add`.
        Command = "command",
    }
}

/// A recurring job, and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Record", into = "Record")]
pub struct Entry {
    /// Who said so.
    pub source: Source,
    /// Whether it rests.
    pub paused: bool,
    /// What it is.
    pub definition: Definition,
}

#[derive(Serialize, Deserialize)]
struct Record {
    source: Source,
    paused: bool,
    #[serde(flatten)]
    written: Written,
}

impl From<Entry> for Record {
    fn from(entry: Entry) -> Self {
        Self {
            source: entry.source,
            paused: entry.paused,
            written: entry.definition.written(),
        }
    }
}

impl TryFrom<Record> for Entry {
    type Error = Wrong;

    fn try_from(record: Record) -> Result<Self, Wrong> {
        Ok(Self {
            source: record.source,
            paused: record.paused,
            definition: Definition::read(&record.written)?,
        })
    }
}

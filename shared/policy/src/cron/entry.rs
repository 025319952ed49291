//! A recurring job as stored in Redis.

use longshore_protocol::string_enum;
use serde::{Deserialize, Serialize};

use super::{Definition, Written, Wrong};

string_enum! {
    /// Where a recurring job was defined.
    Source {
        Config = "config",
        /// `longshore cron add`.
        Command = "command",
    }
}

/// A recurring job and its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Record", into = "Record")]
pub struct Entry {
    pub source: Source,
    pub paused: bool,
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

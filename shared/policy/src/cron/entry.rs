//! A recurring job as stored in Redis.

use longshore_protocol::string_enum;
use serde::{Deserialize, Serialize};

use super::{CronDefinition, CronDefinitionText, CronFaults};

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
pub struct CronJob {
    pub source: Source,
    pub paused: bool,
    pub definition: CronDefinition,
}

#[derive(Serialize, Deserialize)]
struct Record {
    source: Source,
    paused: bool,
    #[serde(flatten)]
    written: CronDefinitionText,
}

impl From<CronJob> for Record {
    fn from(entry: CronJob) -> Self {
        Self {
            source: entry.source,
            paused: entry.paused,
            written: entry.definition.written(),
        }
    }
}

impl TryFrom<Record> for CronJob {
    type Error = CronFaults;

    fn try_from(record: Record) -> Result<Self, CronFaults> {
        Ok(Self {
            source: record.source,
            paused: record.paused,
            definition: CronDefinition::read(&record.written)?,
        })
    }
}

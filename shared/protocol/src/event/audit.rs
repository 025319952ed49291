//! Facts about the acts of people.

use chrono::{DateTime, Utc, serde::ts_milliseconds};
use serde::{Deserialize, Serialize};

use crate::id::ActId;

/// A command that changes something. The command reports it when it begins, and again when it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    pub act_id: ActId,
    /// When it began, by the clock of the actor's machine.
    #[serde(rename = "at_ms", with = "ts_milliseconds")]
    pub at: DateTime<Utc>,
    /// Who: `user@host`, or the value of `LONGSHORE_ACTOR`.
    pub actor: String,
    /// The words of the command, such as `jobs cancel`.
    pub command: String,
    /// The ids and filters that it was given.
    pub what: String,
    /// How many things it changed; absent until it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affected: Option<u64>,
    pub outcome: ActOutcome,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

string_enum! {
    /// How an act ended.
    ActOutcome {
        /// It has not ended, or was killed before it could tell.
        Begun = "begun",
        /// It changed what it was to change, or a part of it.
        Done = "done",
        /// The person was asked, and said no.
        Refused = "refused",
        /// It changed nothing, or not all that it was to change.
        Failed = "failed",
    }
}

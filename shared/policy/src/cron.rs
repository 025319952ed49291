//! Recurring jobs: their schedules, missed ticks, and the job of each tick. Everything here is pure;
//! callers pass the time.

mod definition;
mod entry;
mod plan;
mod timing;

pub use self::{
    definition::{CronDefinition, CronDefinitionText, CronFault, CronFaults, RunReason},
    entry::{CronJob, Source},
    plan::{GRACE, TickPlan, step},
    timing::{BadTiming, Timing},
};

use longshore_protocol::string_enum;

string_enum! {
    /// What happens to ticks that were due while no scheduler ran.
    Missed {
        /// They are skipped and counted.
        Skip = "skip",
        /// The last of them runs in place of all.
        Once = "once",
        /// Each of them runs.
        All = "all",
    }
}

#[cfg(test)]
mod tests;

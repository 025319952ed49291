//! Recurring jobs: when they come, what becomes of a tick that nobody was there for, and the job that each
//! tick is. All of it is pure: the time comes from whoever asks.

mod definition;
mod entry;
mod plan;
mod timing;

pub use self::{
    definition::{Definition, Occasion, Written, Wrong},
    entry::{Entry, Source},
    plan::{GRACE, Step, step},
    timing::{BadTiming, Timing},
};

use longshore_protocol::string_enum;

string_enum! {
    /// What becomes of ticks that nobody was there for.
    Missed {
        /// They are skipped, and counted.
        Skip = "skip",
        /// The last of them runs, in the place of all.
        Once = "once",
        /// Each of them runs.
        All = "all",
    }
}

#[cfg(test)]
mod tests;

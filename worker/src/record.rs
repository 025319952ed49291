//! Record: builds the facts that each step appends to the event stream, and writes them to the ledger.

mod facts;
mod recent_attempts;
pub(crate) mod recorder;
mod spans;

pub(crate) use self::{
    facts::{JobEnd, dead_letter, job_record, outcome, serialize, serialize_attempt, serialized},
    recent_attempts::RecentAttempts,
};

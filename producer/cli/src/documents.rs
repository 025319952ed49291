//! Documents that several commands print as JSON. Names are those of outcomes (`docs/protocol/outcome.schema.json`);
//! times are RFC 3339 in UTC, dollars are decimal strings, and a field without a value is null.

mod attempt;
mod dead_letter;
mod history;
mod job;

pub(crate) use self::{
    attempt::AttemptDocument, dead_letter::DeadLetterDocument, history::HistoryDocument,
    job::JobDocument,
};

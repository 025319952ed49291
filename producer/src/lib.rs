//! Puts jobs in, and reads what became of them.

pub mod local;

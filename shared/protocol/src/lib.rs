//! The wire protocol: messages, jobs, chains, outcomes, events, dead letters and the Redis keys. Pure
//! data and parsing, without I/O. The only clock is [`clock::local_time`].

#[macro_use]
mod string_enum;

pub mod id;
pub mod money;
pub mod platform;
pub mod state;

pub mod call;
pub mod envelope;

pub mod chain;

pub mod checkpoint;
pub mod clock;
pub mod control;
pub mod dead_letter;
pub mod encryption;
pub mod event;
pub mod outcome;
pub mod recipe;
pub mod reply;
pub mod review;
pub mod tool_rounds;

pub mod keys;
pub mod serialized;

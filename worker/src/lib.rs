//! Pulls jobs, calls providers, settles.
//!
//! A job's way through the files: [`reader`](mod@reader) pulls it, [`backend`] hands it to apalis,
//! [`run`](mod@run) admits, routes and tries it ([`admit`], [`route`], [`attempt`], [`retry`]), a
//! [`provider`] answers, [`settle`] ends it in one step, [`recorder`] writes it down.

pub mod admit;
pub mod attempt;
pub mod backend;
pub mod clock;
pub mod deps;
pub mod hands;
mod heartbeat;
pub mod job;
mod patience;
pub mod provider;
pub mod reader;
pub mod recorder;
pub mod records;
pub mod registry;
pub mod retry;
pub mod route;
pub mod run;
pub mod schema;
pub mod settle;
mod upkeep;
pub mod verdict;
mod worker;

pub use self::{
    registry::Registry,
    worker::{Worker, WorkerError},
};

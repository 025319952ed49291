//! Pulls jobs, calls providers, settles.
//!
//! A job's way through the files: [`reader`](mod@reader) pulls it, [`backend`] hands it to apalis,
//! [`run`](mod@run) admits, routes and tries it ([`admit`], [`routing`](longshore_policy::routing), [`attempt`], [`retry`]), a
//! [`provider`] answers, [`settle`] ends it in one step, [`recorder`] writes it down.

pub mod accounts;
pub mod admit;
mod aside;
pub mod attempt;
pub mod backend;
pub mod begin;
mod chain;
pub mod choose;
pub mod circuit;
pub mod clock;
pub mod deps;
pub mod estimate;
pub mod fairness;
pub mod gate;
pub mod hands;
mod heartbeat;
pub mod job;
pub mod limits;
mod patience;
pub mod pauses;
pub mod policy;
pub mod provider;
pub mod reader;
pub mod recorder;
pub mod records;
pub mod registry;
pub mod retry;
pub mod run;
pub mod schema;
pub mod settle;
mod upkeep;
pub mod verdict;
mod worker;

pub use self::{
    policy::{Policies, Policy},
    registry::Registry,
    worker::{Worker, WorkerError},
};

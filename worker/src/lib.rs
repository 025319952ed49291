//! Runs jobs: pulls them from Redis, calls providers, settles each job in one atomic step.
//!
//! `run_job` shows the life of a job on one screen. The stages are modules, in the order of that life: `pull`,
//! `admit`, `route`, `reserve`, `call`, `retry`, `settle`, `record`. No stage depends on `worker`, which puts the
//! parts together, or on `run_job`.

// A worker: its parts put together, and the path of a job through the stages.

mod worker;

mod run_job;

// The stages, in the order of a job's life.

mod pull;

mod admit;

mod route;

mod reserve;

mod call;

mod retry;

mod settle;

mod record;

// What the stages use.

mod backoff;
mod blocking;
mod chain;
mod clock;
pub mod command;
mod context;
mod disposition;
mod gate;
mod job;
mod json_schema;
mod log;
pub mod provider;
mod review;
mod tools;
mod trace;

// What runs beside the jobs.

mod background;

pub use self::{
    clock::Clock,
    provider::Registry,
    route::{
        circuits::{CallPermit, CircuitState, Circuits},
        policy::{Policies, Policy},
    },
    worker::{Worker, WorkerError},
};

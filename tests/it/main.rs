//! Longshore end to end: real Redis, Postgres, processes and signals, with the simulator's invoice as the
//! other side of the books.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot continue fails with the location"
)]

mod admin;
mod alerts;
mod audit;
mod backlog;
mod bad_input;
mod batches;
mod chains;
mod chains_cli;
mod chaos;
mod cli;
mod conformance;
mod connections;
mod cost;
mod crash;
mod cron;
mod dead_letters;
mod dev;
mod docs;
mod documents;
mod encryption;
mod failures;
mod first_job;
mod identity;
mod logs;
mod machine;
mod metrics;
mod model;
mod new_limits;
mod on_call;
mod parameters;
mod policy;
mod proxy;
mod queue_limits;
mod quota;
mod reload;
mod run_log;
mod scale;
mod scripts;
mod secrets;
mod service;
mod simulated;
mod test_kit;
mod time;
mod topology;
mod traces;
mod waits;
mod webhook_receiver;
